//! Made: small files as engines write them, byte by byte, for tests.

/// An archive with uncompressed members, as torch writes it.
pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let length = (content.len() as u32).to_le_bytes();
        let sizes = [crc32(content).to_le_bytes(), length, length].concat();
        let name_length = (name.len() as u16).to_le_bytes();
        let begin = (file.len() as u32).to_le_bytes();
        file.extend(
            [b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0", &sizes[..], &name_length, b"\0\0", name.as_bytes(), content].concat(),
        );
        directory.extend(
            [
                b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0",
                &sizes[..],
                &name_length,
                b"\0\0\0\0\0\0\0\0\0\0\0\0",
                &begin,
                name.as_bytes(),
            ]
            .concat(),
        );
    }
    let count = (members.len() as u16).to_le_bytes();
    let (begin, length) = ((file.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    [&file[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &length, &begin, b"\0\0"].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let of_byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, of_byte)
}

/// Packed with gzip, without compression.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u16;
    let block = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat();
    let end = [crc32(bytes).to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], &block, &end].concat()
}

/// A NumPy array of version 1.
pub fn npy(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    [&b"\x93NUMPY\x01\x00\x76\x00"[..], format!("{header:<117}\n").as_bytes(), numbers].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn int(number: usize) -> Vec<u8> {
    [&b"J"[..], &(number as u32).to_le_bytes()].concat()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [&b"("[..], &items.concat(), b"t"].concat()
}

fn dict(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let members: Vec<u8> = members.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
    [&b"}("[..], &members, b"u"].concat()
}

/// The pickle of a tensor whose numbers are `member`.
fn tensor(of: &str, member: usize, location: &str, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let numbers: usize = shape.iter().product();
    let of = format!("ctorch\n{of}\n").into_bytes();
    let storage = tuple(&[text("storage"), of, text(&member.to_string()), text(location), int(numbers)]);
    let sizes = |sizes: &[usize]| tuple(&sizes.iter().map(|size| int(*size)).collect::<Vec<_>>());
    let hooks = b"ccollections\nOrderedDict\n)R".to_vec();
    let arguments =
        tuple(&[[&storage[..], b"Q"].concat(), int(0), sizes(shape), sizes(strides), b"\x89".to_vec(), hooks]);
    [&b"ctorch._utils\n_rebuild_tensor_v2\n"[..], &arguments, b"R"].concat()
}

fn contiguous(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|at| shape[at + 1..].iter().product()).collect()
}

/// What `torch.save` writes of a `pickle` whose tensors have these numbers.
pub fn torch(pickle: &[u8], numbers: &[Vec<u8>]) -> Vec<u8> {
    let pickle = [b"\x80\x02", pickle, b"."].concat();
    let names: Vec<String> = (0..numbers.len()).map(|member| format!("dump/data/{member}")).collect();
    let mut members: Vec<(&str, &[u8])> = vec![("dump/data.pkl", &pickle), ("dump/byteorder", b"little")];
    members.extend(names.iter().zip(numbers).map(|(name, numbers)| (&name[..], &numbers[..])));
    members.push(("dump/version", b"3\n"));
    zip(&members)
}

fn i4(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// SGLang's ring.
pub fn stat(shape: &[usize], counts: &[i32]) -> Vec<u8> {
    let counts_of = tensor("IntStorage", 0, "cuda:0", shape, &contiguous(shape));
    let average = b"N".to_vec();
    let members = [("rank", int(0)), ("logical_count", counts_of), ("average_utilization_rate_over_window", average)];
    torch(&dict(&members), &[i4(counts)])
}

/// The passes of a rank of SGLang: one layer, `counts[pass]` by slot, and a map that is stored transposed.
pub fn per_pass(rank: usize, counts: &[[i32; 3]], map: &[i64; 3]) -> Vec<u8> {
    let record = |(pass, _): (usize, &[i32; 3])| {
        let counts = tensor("IntStorage", pass, "cpu", &[1, 3], &[3, 1]);
        dict(&[
            ("forward_pass_id", int(100 + pass)),
            ("rank", int(rank)),
            ("gatherer_key", text("primary")),
            ("global_physical_count", counts),
        ])
    };
    let records: Vec<u8> = counts.iter().enumerate().flat_map(record).collect();
    let records = [&b"]("[..], &records, b"e"].concat();
    let map_of = tensor("LongStorage", counts.len(), "cpu", &[1, 3], &[1, 1]);
    let mut numbers: Vec<Vec<u8>> = counts.iter().map(|counts| i4(counts)).collect();
    numbers.push(map.iter().flat_map(|expert| expert.to_le_bytes()).collect());
    torch(&dict(&[("records", records), ("last_physical_to_logical_map", map_of)]), &numbers)
}

/// A tensor alone.
pub fn saved(of: &str, shape: &[usize], strides: &[usize], numbers: &[u8]) -> Vec<u8> {
    torch(&tensor(of, 0, "cpu", shape, strides), &[numbers.to_vec()])
}

/// A file of TensorRT-LLM: `counts` of each iteration and layer, 2 experts.
pub fn safetensors(counts: &[(&str, [i64; 2])]) -> Vec<u8> {
    let entry = |(at, (name, _)): (usize, &(&str, [i64; 2]))| {
        format!("\"{name}\":{{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[{},{}]}}", 16 * at, 16 * (at + 1))
    };
    let entries: Vec<String> = counts.iter().enumerate().map(entry).collect();
    let header = format!("{{{}}}", entries.join(","));
    let numbers: Vec<u8> = counts.iter().flat_map(|(_, counts)| counts).flat_map(|count| count.to_le_bytes()).collect();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat()
}

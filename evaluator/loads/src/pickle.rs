//! Pickle: the few opcodes with which torch writes a dictionary of tensors. Everything else is refused by name: nothing
//! is imported, called or built but tensors and plain data.
//!
//! Values lie in one list and name each other by number, so no file makes this recurse.

use std::collections::HashMap;

use crate::number::Number;
use crate::window::quoted;

/// The most values.
const MOST_VALUES: usize = 1 << 23;

/// A value's number.
pub type Id = usize;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    Tensor(Tensor),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Global {
    RebuildTensor,
    OrderedDict,
    Storage(StorageType),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageType {
    Numbers(Number),
    /// Booleans, complex or quantised numbers.
    Other(&'static str),
}

/// The numbers of one or more tensors: a member of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    pub of: StorageType,
    pub key: String,
    pub numbers: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub storage: Storage,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// What a file pickled.
#[derive(Clone, Debug, PartialEq)]
pub struct Pickle {
    values: Vec<Value>,
    root: Id,
}

/// Where and why reading stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Counts from 0, as Python's `pickletools` does.
    pub at: usize,
    pub problem: String,
}

impl Pickle {
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let mut machine = Machine::default();
        let mut input = Input { bytes, at: 0 };
        loop {
            let at = input.at;
            let step = input.byte().and_then(|opcode| machine.step(opcode, &mut input));
            if let Some(root) = step.map_err(|problem| Refused { at, problem })? {
                return Ok(Self { values: machine.values, root });
            }
        }
    }

    pub fn root(&self) -> &Value {
        &self.values[self.root]
    }

    pub fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// The member of a dictionary, the last of this name.
    pub fn member(&self, dict: &Value, name: &str) -> Option<&Value> {
        let Value::Dict(members) = dict else { return None };
        let is_named = |key: Id| matches!(&self.values[key], Value::Text(text) if text == name);
        members.iter().rev().find(|(key, _)| is_named(*key)).map(|(_, value)| &self.values[*value])
    }

    /// The names of a dictionary's members.
    pub fn names(&self, dict: &Value) -> Vec<&str> {
        let Value::Dict(members) = dict else { return Vec::new() };
        let name =
            |(key, _): &(Id, Id)| if let Value::Text(text) = &self.values[*key] { Some(&text[..]) } else { None };
        members.iter().filter_map(name).collect()
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| "the pickle ends too early".to_owned())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned number of up to 8 bytes.
    fn number(&mut self, length: usize) -> Result<u64, String> {
        Ok(self.take(length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or("the pickle ends too early")?;
        let line = self.take(length)?;
        self.at += 1;
        Ok(line)
    }

    fn text(&mut self, length: u64) -> Result<String, String> {
        let length = usize::try_from(length).map_err(|_| "the pickle ends too early".to_owned())?;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| "a text that is not UTF-8".to_owned())
    }
}

#[derive(Default)]
struct Machine {
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Machine {
    /// Carries out an opcode. The value is that of the pickle if this was the last one.
    fn step(&mut self, opcode: u8, input: &mut Input<'_>) -> Result<Option<Id>, String> {
        match opcode {
            0x80 => drop(input.byte()?),
            // A frame only says how much follows.
            0x95 => drop(input.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'.' => return self.pop().map(Some),
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'K' => self.push_int(input.number(1)? as i64)?,
            b'M' => self.push_int(input.number(2)? as i64)?,
            b'J' => self.push_int(i64::from(input.number(4)? as u32 as i32))?,
            0x8a => self.push_long(input)?,
            b'G' => self.push(Value::Float(f64::from_bits(input.number(8)?.swap_bytes())))?,
            b'X' => self.push_text(input, 4)?,
            0x8c => self.push_text(input, 1)?,
            0x8d => self.push_text(input, 8)?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b']' => self.push(Value::List(Vec::new()))?,
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))?;
            }
            0x85..=0x87 => self.push_tuple(usize::from(opcode - 0x84))?,
            b'q' => self.remember(input.number(1)?)?,
            b'r' => self.remember(input.number(4)?)?,
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => self.recall(input.number(1)?)?,
            b'j' => self.recall(input.number(4)?)?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            b'c' => {
                let (module, name) = (input.line()?, input.line()?);
                self.push_global(&String::from_utf8_lossy(module), &String::from_utf8_lossy(name))?;
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.push_global(&module, &name)?;
            }
            b'Q' => self.load_storage()?,
            b'R' => self.call()?,
            other => return Err(format!("opcode {} is refused: tensors and plain data need none", name(other))),
        }
        Ok(None)
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() == MOST_VALUES {
            return Err(format!("more than {MOST_VALUES} values"));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn push_int(&mut self, number: i64) -> Result<(), String> {
        self.push(Value::Int(number))
    }

    fn push_long(&mut self, input: &mut Input<'_>) -> Result<(), String> {
        let length = usize::from(input.byte()?);
        if length > 8 {
            return Err(format!("a number of {length} bytes"));
        }
        let unused = 64 - 8 * length as u32;
        let number = input.number(length)?;
        self.push_int(number.checked_shl(unused).unwrap_or(0) as i64 >> unused.min(63))
    }

    fn push_text(&mut self, input: &mut Input<'_>, length: usize) -> Result<(), String> {
        let length = input.number(length)?;
        let text = input.text(length)?;
        self.push(Value::Text(text))
    }

    fn push_tuple(&mut self, length: usize) -> Result<(), String> {
        let from = self.floor().checked_add(length).filter(|needed| *needed <= self.stack.len());
        from.ok_or_else(underflow)?;
        let items = self.stack.split_off(self.stack.len() - length);
        self.push(Value::Tuple(items))
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let global = match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch", name) => Global::Storage(storage_type(name).ok_or_else(|| refused(module, name))?),
            _ => return Err(refused(module, name)),
        };
        self.push(Value::Global(global))
    }

    /// What lies below belongs to an outer list.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.stack.len() <= self.floor() {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn pop_text(&mut self) -> Result<String, String> {
        let id = self.pop()?;
        match &self.values[id] {
            Value::Text(text) => Ok(text.clone()),
            _ => Err("a name that is not a text".to_owned()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<Id, String> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        top.copied().ok_or_else(underflow)
    }

    fn remember(&mut self, number: u64) -> Result<(), String> {
        let top = self.top()?;
        if self.memo.len() == MOST_VALUES {
            return Err(format!("more than {MOST_VALUES} values"));
        }
        self.memo.insert(number, top);
        Ok(())
    }

    fn recall(&mut self, number: u64) -> Result<(), String> {
        let id = *self.memo.get(&number).ok_or("a value is named before it is there")?;
        self.stack.push(id);
        Ok(())
    }

    fn append(&mut self, mut items: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) => list.append(&mut items),
            _ => return Err("something is appended to something that is not a list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let dict = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".to_owned());
        }
        match &mut self.values[dict] {
            Value::Dict(dict) => dict.extend(items.chunks(2).map(|pair| (pair[0], pair[1]))),
            _ => return Err("something is set in something that is not a dictionary".to_owned()),
        }
        Ok(())
    }

    /// `('storage', type, key, location, numbers)`. The location says which device had it, and does not matter.
    fn load_storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let Value::Tuple(items) = &self.values[id] else {
            return Err("a persistent id that is not a tuple".to_owned());
        };
        let items: Vec<&Value> = items.iter().map(|id| &self.values[*id]).collect();
        let storage = match items[..] {
            [
                Value::Text(kind),
                Value::Global(Global::Storage(of)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(numbers),
            ] if kind == "storage" => {
                let numbers = usize::try_from(*numbers).map_err(|_| "a storage of negative length".to_owned())?;
                Storage { of: *of, key: key.clone(), numbers }
            }
            _ => return Err("a persistent id that names no storage of a tensor".to_owned()),
        };
        self.push(Value::Storage(storage))
    }

    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err("a call without arguments".to_owned());
        };
        let result = match &self.values[function] {
            Value::Global(Global::RebuildTensor) => Value::Tensor(self.tensor(arguments)?),
            Value::Global(Global::OrderedDict) if arguments.is_empty() => Value::Dict(Vec::new()),
            Value::Global(_) => return Err("a call that builds no tensor".to_owned()),
            _ => return Err("a call of something that is not a function".to_owned()),
        };
        self.push(result)
    }

    /// From `(storage, offset, shape, strides, requires_grad, hooks)`.
    fn tensor(&self, arguments: &[Id]) -> Result<Tensor, String> {
        let values: Vec<&Value> = arguments.iter().take(4).map(|id| &self.values[*id]).collect();
        let [Value::Storage(storage), Value::Int(offset), Value::Tuple(shape), Value::Tuple(strides)] = values[..]
        else {
            return Err("a tensor of unknown form".to_owned());
        };
        let size = |number: &i64| usize::try_from(*number).map_err(|_| "a tensor with a negative size".to_owned());
        let sizes = |ids: &[Id]| -> Result<Vec<usize>, String> {
            let size = |id: &Id| {
                if let Value::Int(number) = &self.values[*id] {
                    size(number)
                } else {
                    Err("a tensor whose size is not a number".to_owned())
                }
            };
            ids.iter().map(size).collect()
        };
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        if shape.len() != strides.len() {
            return Err("a tensor whose strides do not fit its shape".to_owned());
        }
        Ok(Tensor { storage: storage.clone(), offset: size(offset)?, shape, strides })
    }
}

fn underflow() -> String {
    "the pickle takes what it did not put down".to_owned()
}

fn refused(module: &str, name: &str) -> String {
    format!("{} is refused: only tensors and plain data are read", quoted(&format!("{module}.{name}")))
}

fn storage_type(name: &str) -> Option<StorageType> {
    Some(match name {
        "CharStorage" => StorageType::Numbers(Number::I8),
        "ByteStorage" => StorageType::Numbers(Number::U8),
        "ShortStorage" => StorageType::Numbers(Number::I16),
        "IntStorage" => StorageType::Numbers(Number::I32),
        "LongStorage" => StorageType::Numbers(Number::I64),
        "HalfStorage" => StorageType::Numbers(Number::F16),
        "BFloat16Storage" => StorageType::Numbers(Number::Bf16),
        "FloatStorage" => StorageType::Numbers(Number::F32),
        "DoubleStorage" => StorageType::Numbers(Number::F64),
        "BoolStorage" => StorageType::Other("booleans"),
        "ComplexFloatStorage" | "ComplexDoubleStorage" => StorageType::Other("complex numbers"),
        "QInt8Storage" | "QUInt8Storage" | "QInt32Storage" => StorageType::Other("quantised numbers"),
        _ => return None,
    })
}

/// The names of the opcodes that are refused, as Python's `pickletools` has them.
const REFUSED: [(u8, &str); 29] = [
    (b'0', "POP"),
    (b'1', "POP_MARK"),
    (b'2', "DUP"),
    (b'F', "FLOAT"),
    (b'I', "INT"),
    (b'L', "LONG"),
    (b'P', "PERSID"),
    (b'S', "STRING"),
    (b'T', "BINSTRING"),
    (b'U', "SHORT_BINSTRING"),
    (b'V', "UNICODE"),
    (b'B', "BINBYTES"),
    (b'C', "SHORT_BINBYTES"),
    (b'b', "BUILD"),
    (b'd', "DICT"),
    (b'g', "GET"),
    (b'i', "INST"),
    (b'l', "LIST"),
    (b'o', "OBJ"),
    (b'p', "PUT"),
    (0x81, "NEWOBJ"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x8b, "LONG4"),
    (0x8e, "BINBYTES8"),
    (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"),
    (0x92, "NEWOBJ_EX"),
];

fn name(opcode: u8) -> String {
    let known = REFUSED.iter().find(|(known, _)| *known == opcode);
    known.map_or_else(|| format!("{opcode:#04x}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> String {
        Pickle::parse(bytes).unwrap_err().problem
    }

    #[test]
    fn plain_data_is_read() {
        let pickle = Pickle::parse(b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x05X\x01\x00\x00\x00b]q\x01(J\xff\xff\xff\xff\x8a\x02\x00\x80G\x3f\xf0\x00\x00\x00\x00\x00\x00Neu.").unwrap();
        assert_eq!(pickle.names(pickle.root()), ["a", "b"]);
        assert_eq!(pickle.member(pickle.root(), "a"), Some(&Value::Int(5)));
        let Some(Value::List(items)) = pickle.member(pickle.root(), "b") else { panic!("{pickle:?}") };
        let items: Vec<_> = items.iter().map(|id| pickle.value(*id).clone()).collect();
        assert_eq!(items, [Value::Int(-1), Value::Int(-32768), Value::Float(1.0), Value::None]);
    }

    #[test]
    fn what_could_run_code_is_refused_by_name() {
        for (bytes, message) in [
            (
                &b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."[..],
                "os.system is refused: only tensors and plain data are read",
            ),
            (
                b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
                "builtins.eval is refused: only tensors and plain data are read",
            ),
            (b"ctorch\nload\n.", "torch.load is refused: only tensors and plain data are read"),
            (b"}}b.", "opcode BUILD is refused: tensors and plain data need none"),
            (b"(ios\nsystem\n.", "opcode INST is refused: tensors and plain data need none"),
            (b"\x82\x01.", "opcode EXT1 is refused: tensors and plain data need none"),
            (b"\xff.", "opcode 0xff is refused: tensors and plain data need none"),
            (b"ctorch\nIntStorage\n)R.", "a call that builds no tensor"),
            (b"K\x01)R.", "a call of something that is not a function"),
        ] {
            assert_eq!(problem(bytes), message);
        }
    }

    #[test]
    fn a_broken_pickle_is_refused() {
        for (bytes, message) in [
            (&b""[..], "the pickle ends too early"),
            (b"X\xff\xff\xff\xffa.", "the pickle ends too early"),
            (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.", "the pickle ends too early"),
            (b".", "the pickle takes what it did not put down"),
            (b"K\x01(.", "the pickle takes what it did not put down"),
            (b"\x86.", "the pickle takes what it did not put down"),
            (b"t.", "the pickle takes what it did not put down"),
            (b"h\x05.", "a value is named before it is there"),
            (b"K\x01K\x02a.", "something is appended to something that is not a list"),
            (b"}(K\x01u.", "a key without a value"),
            (b"K\x01Q.", "a persistent id that is not a tuple"),
            (b"\x8a\x09aaaaaaaaa.", "a number of 9 bytes"),
        ] {
            assert_eq!(problem(bytes), message, "{bytes:?}");
        }
    }

    #[test]
    fn a_list_in_itself_and_deep_nesting_are_values_like_others() {
        let own = Pickle::parse(b"]q\x00h\x00a.").unwrap();
        assert_eq!(own.root(), &Value::List(vec![0]));
        let deep = [&b"N"[..], &[0x85; 1_000_000], b"."].concat();
        assert!(Pickle::parse(&deep).is_ok());
    }
}

//! Number: the types of numbers in arrays, and their bytes.

/// The type of an array's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    Bf16,
    F32,
    F64,
}

/// The order of a number's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    LittleFirst,
    BigFirst,
}

impl Number {
    /// Bytes.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Whether it is an integer of one or two bytes.
    pub fn is_short_integer(self) -> bool {
        matches!(self, Self::I8 | Self::U8 | Self::I16 | Self::U16)
    }

    /// The number in [`Number::size`] bytes. Integers are exact up to the largest load.
    pub fn value(self, bytes: &[u8], order: Bytes) -> f64 {
        let mut padded = [0; 8];
        for (at, byte) in bytes.iter().enumerate() {
            padded[if order == Bytes::LittleFirst { at } else { bytes.len() - 1 - at }] = *byte;
        }
        let bits = u64::from_le_bytes(padded);
        match self {
            Self::I8 => f64::from(bits as u8 as i8),
            Self::I16 => f64::from(bits as u16 as i16),
            Self::I32 => f64::from(bits as u32 as i32),
            Self::I64 => bits as i64 as f64,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => bits as f64,
            Self::F16 => half(bits as u16),
            Self::Bf16 => f64::from(f32::from_bits((bits as u32) << 16)),
            Self::F32 => f64::from(f32::from_bits(bits as u32)),
            Self::F64 => f64::from_bits(bits),
        }
    }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1024.0);
    let size = match exponent {
        0 => fraction * 2f64.powi(-14),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_types_are_read_in_both_orders() {
        let cases: [(Number, Vec<u8>, f64); 14] = [
            (Number::I8, (-5_i8).to_le_bytes().to_vec(), -5.0),
            (Number::I16, (-500_i16).to_le_bytes().to_vec(), -500.0),
            (Number::I32, (-70_000_i32).to_le_bytes().to_vec(), -70_000.0),
            (Number::I64, (1_i64 << 40).to_le_bytes().to_vec(), 1_099_511_627_776.0),
            (Number::U8, vec![200], 200.0),
            (Number::U16, 60_000_u16.to_le_bytes().to_vec(), 60_000.0),
            (Number::U32, 4_000_000_000_u32.to_le_bytes().to_vec(), 4e9),
            (Number::U64, u64::MAX.to_le_bytes().to_vec(), u64::MAX as f64),
            (Number::F16, 0x6400_u16.to_le_bytes().to_vec(), 1024.0),
            (Number::F16, 0x0001_u16.to_le_bytes().to_vec(), 2f64.powi(-24)),
            (Number::F16, 0xfc00_u16.to_le_bytes().to_vec(), f64::NEG_INFINITY),
            (Number::Bf16, 0x4040_u16.to_le_bytes().to_vec(), 3.0),
            (Number::F32, 2.5_f32.to_le_bytes().to_vec(), 2.5),
            (Number::F64, 1e300_f64.to_le_bytes().to_vec(), 1e300),
        ];
        for (number, mut bytes, value) in cases {
            assert_eq!(number.size(), bytes.len());
            assert_eq!(number.value(&bytes, Bytes::LittleFirst), value, "{number:?}");
            bytes.reverse();
            assert_eq!(number.value(&bytes, Bytes::BigFirst), value, "{number:?}");
        }
        assert!(half(0x7e00).is_nan());
    }
}

//! The number types that safetensors files have.

use std::fmt;

macro_rules! dtypes {
    ($($variant:ident $name:literal $bits:literal),* $(,)?) => {
        /// What the elements of a tensor are. Names are those of the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the names say it")]
        #[non_exhaustive]
        pub enum Dtype {
            $($variant),*
        }

        impl Dtype {
            /// Every one, the narrowest first.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As headers write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }

            /// What one element takes.
            #[must_use]
            pub const fn bits(self) -> u64 {
                match self {
                    $(Self::$variant => $bits),*
                }
            }
        }
    };
}

dtypes! {
    F4 "F4" 4,
    F6E2M3 "F6_E2M3" 6,
    F6E3M2 "F6_E3M2" 6,
    Bool "BOOL" 8,
    U8 "U8" 8,
    I8 "I8" 8,
    F8E5M2 "F8_E5M2" 8,
    F8E4M3 "F8_E4M3" 8,
    F8E8M0 "F8_E8M0" 8,
    F8E4M3Fnuz "F8_E4M3FNUZ" 8,
    F8E5M2Fnuz "F8_E5M2FNUZ" 8,
    I16 "I16" 16,
    U16 "U16" 16,
    F16 "F16" 16,
    Bf16 "BF16" 16,
    I32 "I32" 32,
    U32 "U32" 32,
    F32 "F32" 32,
    C64 "C64" 64,
    F64 "F64" 64,
    I64 "I64" 64,
    U64 "U64" 64,
}

impl Dtype {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|dtype| dtype.name() == name)
    }

    /// Bytes of a tensor of this shape; `None` if that is no whole number, or too large a one.
    #[must_use]
    pub fn bytes(self, shape: &[usize]) -> Option<u64> {
        // A zero anywhere makes it empty, also where the other extents multiply to too much.
        if shape.contains(&0) {
            return Some(0);
        }
        let elements = shape
            .iter()
            .try_fold(1_u64, |product, &extent| product.checked_mul(u64::try_from(extent).ok()?))?;
        let bits = elements.checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_types() {
        for &dtype in Dtype::ALL {
            assert_eq!(Dtype::named(dtype.name()), Some(dtype), "{dtype}");
        }
        assert_eq!([Dtype::named("f32"), Dtype::named("")], [None, None], "no such names");
    }

    #[test]
    fn sizes_are_whole_bytes_or_none() {
        assert_eq!(Dtype::F32.bytes(&[2, 3]), Some(24), "a matrix");
        assert_eq!(Dtype::Bf16.bytes(&[]), Some(2), "a number");
        assert_eq!([Dtype::F4.bytes(&[4]), Dtype::F4.bytes(&[3])], [Some(2), None], "half bytes");
        assert_eq!(Dtype::U8.bytes(&[usize::MAX, 2]), None, "too many elements");
        assert_eq!(Dtype::F64.bytes(&[usize::MAX]), None, "too many bytes");
        assert_eq!(Dtype::F64.bytes(&[usize::MAX, usize::MAX, 0]), Some(0), "none");
    }
}

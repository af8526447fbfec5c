//! Metadata values.

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any integer or boolean.
    Int(i64),
    /// Any floating-point number.
    Float(f64),
    /// A string.
    Str(String),
    /// An array of integers or booleans.
    Ints(Vec<i64>),
    /// An array of strings.
    Strs(Vec<String>),
    /// An array of floating-point numbers: only its length is kept.
    Floats(usize),
}

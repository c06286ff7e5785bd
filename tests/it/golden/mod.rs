//! The recorded vectors of the reference: the operators that compare, and one file per tool.

mod operators;

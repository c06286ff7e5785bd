//! F5: the doors, and what people see of them.

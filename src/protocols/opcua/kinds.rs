//! The names of the tags' types, told once each.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::driver::Batch;
use crate::model::TagId;

/// What a session has told of its tags' types.
#[derive(Debug, Default)]
pub(super) struct Kinds(Mutex<HashMap<TagId, &'static str>>);

impl Kinds {
    /// Puts a type's name into the batch where it is news; a value that is null has none.
    pub(super) fn tell(&self, tag: TagId, name: &'static str, out: &mut Batch) {
        if !name.is_empty() && self.0.lock().insert(tag, name) != Some(name) {
            out.types.push((tag, Arc::from(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_told_once_and_again_when_it_changes() {
        let (kinds, mut out) = (Kinds::default(), Batch::default());
        for name in ["", "Double", "Double", "", "Int32", "Int32"] {
            kinds.tell(TagId(7), name, &mut out);
        }
        let told: Vec<&str> = out.types.iter().map(|(_, name)| name.as_ref()).collect();
        assert_eq!(told, ["Double", "Int32"]);
    }
}

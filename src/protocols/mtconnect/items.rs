//! Finds the data items that tags mean, in the agent's model.

use std::collections::HashMap;
use std::sync::Arc;

use super::values::Reads;
use crate::driver::{DriverError, ErrorKind, ModelDevice, ModelItem, Planned};
use crate::model::TagId;

/// The longest id or name that is looked for; real ones stay below 100 characters.
const REF_CHARS_MAX: usize = 512;

/// Where one tag's observations go.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    pub(super) tag: TagId,
    /// The device it must come from, where several have an item of that id.
    pub(super) device: Option<Arc<str>>,
    /// The part of a set to pick.
    pub(super) path: Option<Arc<str>>,
    pub(super) reads: Reads,
}

/// Where observations go, by the id of their data item.
#[derive(Debug, Clone, Default)]
pub(super) struct Routes {
    by_id: HashMap<Box<str>, Vec<Route>>,
    /// Found by name, where no model says the id.
    by_name: HashMap<Box<str>, Vec<Route>>,
}

impl Routes {
    /// Gives the routes of an observation.
    pub(super) fn of<'r>(&'r self, id: &str, name: &str) -> &'r [Route] {
        let found = self.by_id.get(id);
        let found = found.or_else(|| self.by_name.get(name).filter(|_| !self.by_name.is_empty()));
        found.map_or(&[], Vec::as_slice)
    }

    /// Makes routes for tags; what the model does not hold is rejected. Without a model every
    /// reference is taken, as an id and as a name.
    pub(super) fn arrange(
        tags: &[Planned],
        model: Option<&[ModelDevice]>,
    ) -> (Self, Vec<(TagId, DriverError)>) {
        let (mut routes, mut rejected) = (Self::default(), Vec::new());
        let index = model.map(Index::new);
        for Planned { id: tag, tag: definition } in tags {
            let found = check(&definition.address).and_then(|()| match &index {
                None => Ok(None),
                Some(index) => index.find(&definition.address).map(Some),
            });
            let route = |device: Option<Arc<str>>, item: Option<&ModelItem>| Route {
                tag: *tag,
                device,
                path: definition.path.clone(),
                reads: Reads::of(definition, item),
            };
            match found {
                Err(error) => rejected.push((*tag, error)),
                Ok(Some((device, item, is_shared))) => {
                    let device = is_shared.then(|| device.name.clone());
                    let of_id = routes.by_id.entry(item.id.as_ref().into()).or_default();
                    of_id.push(route(device, Some(item)));
                }
                Ok(None) => {
                    let address = &definition.address;
                    let (device, own) = match address.split_once(':') {
                        Some((device, own)) => (Some(device.into()), own),
                        None => (None, address.as_ref()),
                    };
                    for map in [&mut routes.by_id, &mut routes.by_name] {
                        map.entry(own.into()).or_default().push(route(device.clone(), None));
                    }
                }
            }
        }
        (routes, rejected)
    }
}

/// Checks a reference without a model.
pub(super) fn check(address: &str) -> Result<(), DriverError> {
    let is_long = address.chars().count() > REF_CHARS_MAX;
    if is_long || address.trim().is_empty() || address.chars().any(char::is_control) {
        return Err(DriverError::new(
            ErrorKind::BadAddress,
            "this is no id or name of a data item",
        )
        .hint("write the data item's id or name, or DEVICE:ID where several devices share it"));
    }
    Ok(())
}

/// The model, by what a reference may say.
pub(super) struct Index<'m> {
    by_id: HashMap<&'m str, Vec<Item<'m>>>,
    by_name: HashMap<&'m str, Vec<Item<'m>>>,
}

type Item<'m> = (&'m ModelDevice, &'m ModelItem);

impl<'m> Index<'m> {
    pub(super) fn new(model: &'m [ModelDevice]) -> Self {
        let (mut by_id, mut by_name) = (HashMap::new(), HashMap::new());
        for device in model {
            for item in device.components.iter().flat_map(|component| &component.items) {
                let of_id: &mut Vec<_> = by_id.entry(item.id.as_ref()).or_default();
                of_id.push((device, item));
                if !item.name.is_empty() {
                    let of_name: &mut Vec<_> = by_name.entry(item.name.as_ref()).or_default();
                    of_name.push((device, item));
                }
            }
        }
        Self { by_id, by_name }
    }

    /// Finds an item by its id, else by its name; with a device before a colon, that device's.
    /// Tells also whether several devices have an item of that id.
    pub(super) fn find(
        &self,
        address: &str,
    ) -> Result<(&'m ModelDevice, &'m ModelItem, bool), DriverError> {
        let is_shared = |item: &ModelItem| self.by_id.get(item.id.as_ref()).map_or(0, Vec::len) > 1;
        let found = |(device, item): Item<'m>| (device, item, is_shared(item));
        if let Some(one) = pick(self.by_id.get(address))? {
            return Ok(found(one));
        }
        if let Some(one) = pick(self.by_name.get(address))? {
            return Ok(found(one));
        }
        if let Some((device, own)) = address.split_once(':') {
            for map in [&self.by_id, &self.by_name] {
                let candidates = map.get(own).into_iter().flatten().copied();
                let of_device: Vec<Item<'m>> = candidates
                    .filter(|(of, _)| of.name.as_ref() == device || of.uuid.as_ref() == device)
                    .collect();
                if let Some(one) = pick(Some(&of_device))? {
                    return Ok(found(one));
                }
            }
        }
        let what = "the agent's model has no data item of that id or name";
        Err(DriverError::new(ErrorKind::BadAddress, what)
            .hint("see mtconnect_probe for the ids and names there are"))
    }
}

/// Takes the one there is; several are no answer.
fn pick<'m>(candidates: Option<&Vec<Item<'m>>>) -> Result<Option<Item<'m>>, DriverError> {
    match candidates.map_or(&[][..], Vec::as_slice) {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => {
            let what = format!("{} data items of the agent are called that", several.len());
            Err(DriverError::new(ErrorKind::BadAddress, what)
                .hint("write the data item's id, or DEVICE:ID"))
        }
    }
}

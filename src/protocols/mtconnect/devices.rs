//! Reads the answers to probe and assets: what machines there are, and what belongs to them.

use std::sync::Arc;

use super::element::Element;
use super::streams::Header;
use super::xml::{Fault, Step, Walker};
use crate::driver::{Asset, ModelComponent, ModelDevice, ModelItem};

/// Components and data items of one document, all machines together: a cell has some thousands.
const ITEMS_MAX: usize = 200_000;
/// Assets of one answer; an agent keeps 1024 unless told otherwise.
const ASSETS_MAX: usize = 20_000;

/// Reads a model.
pub(super) fn read(document: &str) -> Result<(Header, Vec<ModelDevice>), Fault> {
    let mut walker = Walker::new(document);
    walker.root("MTConnectDevices")?;
    let (mut header, mut devices, mut count) = (Header::default(), Vec::new(), 0);
    while walker.depth() > 0 {
        let Step::Open(element) = walker.step()? else { continue };
        match element.local_name() {
            "Header" => {
                header = Header::read(&element)?;
                walker.skip()?;
            }
            "Devices" => {}
            // Device, and from 1.7 on Agent.
            _ if walker.depth() == 3 => {
                devices.push(device(&mut walker, &element, &mut count)?);
            }
            _ => walker.skip()?,
        }
    }
    walker.finish()?;
    Ok((header, devices))
}

fn text(value: &str) -> Arc<str> {
    value.trim().chars().take(256).collect::<String>().into()
}

fn component(
    element: &Element<'_>,
    above: Option<(usize, &ModelComponent)>,
) -> Result<ModelComponent, Fault> {
    let kind = text(element.local_name());
    let (mut id, mut name): (Arc<str>, Arc<str>) = ("".into(), "".into());
    element.attributes(|key, value| match key {
        "id" => id = text(&value),
        "name" => name = text(&value),
        _ => {}
    })?;
    let own = if name.is_empty() { kind.to_string() } else { format!("{kind}[{name}]") };
    let path = match above {
        // The machine's own name stands beside every path.
        None => String::new(),
        Some((_, above)) if above.path.is_empty() => own,
        Some((_, above)) => format!("{}/{own}", above.path),
    };
    let parent = above.map(|(at, _)| at);
    Ok(ModelComponent { kind, id, name, path: path.into(), parent, items: Vec::new() })
}

/// Reads one machine: components within components, each with its own data items.
fn device(
    walker: &mut Walker<'_>,
    element: &Element<'_>,
    count: &mut usize,
) -> Result<ModelDevice, Fault> {
    let uuid = element.attribute("uuid")?.unwrap_or_default();
    let machine = component(element, None)?;
    let name = machine.name.clone();
    let mut components = vec![machine];
    // The component at each depth below the machine's, and what kind of list is open in it.
    let outside = walker.depth() - 1;
    let mut open: Vec<(usize, usize)> = vec![(walker.depth(), 0)];
    while walker.depth() > outside {
        let depth = walker.depth();
        let step = walker.step()?;
        let Step::Open(element) = step else {
            if matches!(step, Step::Close) && open.last().is_some_and(|(at, _)| *at == depth) {
                open.pop();
            }
            continue;
        };
        let Some((at, within)) = open.last().copied() else { return Err(Fault::Malformed) };
        *count += 1;
        if *count > ITEMS_MAX {
            return Err(Fault::Depth);
        }
        match (element.local_name(), walker.depth() - at) {
            ("Components" | "DataItems", 1) => {}
            ("DataItem", 2) => {
                if let Some(component) = components.get_mut(within) {
                    component.items.push(item(&element)?);
                }
                walker.skip()?;
            }
            // Anything else in a list of components is one; extensions have names of their own.
            (_, 2) => {
                let above = components.get(within).ok_or(Fault::Malformed)?;
                let new = component(&element, Some((within, above)))?;
                components.push(new);
                open.push((walker.depth(), components.len() - 1));
            }
            _ => walker.skip()?,
        }
    }
    Ok(ModelDevice { name, uuid: text(&uuid), components })
}

fn item(element: &Element<'_>) -> Result<ModelItem, Fault> {
    let none: Arc<str> = "".into();
    let mut item = ModelItem {
        id: none.clone(),
        name: none.clone(),
        kind: none.clone(),
        sub_type: none.clone(),
        category: none.clone(),
        units: none.clone(),
        representation: none,
    };
    element.attributes(|key, value| match key {
        "id" => item.id = text(&value),
        "name" => item.name = text(&value),
        "type" => item.kind = text(&value),
        "subType" => item.sub_type = text(&value),
        "category" => item.category = text(&value),
        "units" => item.units = text(&value),
        "representation" => item.representation = text(&value),
        _ => {}
    })?;
    Ok(item)
}

/// Reads the assets.
pub(super) fn assets(document: &str) -> Result<Vec<Asset>, Fault> {
    let mut walker = Walker::new(document);
    walker.root("MTConnectAssets")?;
    let mut assets = Vec::new();
    while walker.depth() > 0 {
        let Step::Open(element) = walker.step()? else { continue };
        match (element.local_name(), walker.depth()) {
            ("Assets", 2) => {}
            (_, 3) => {
                if assets.len() < ASSETS_MAX {
                    assets.push(asset(&element)?);
                }
                walker.skip()?;
            }
            _ => walker.skip()?,
        }
    }
    walker.finish()?;
    Ok(assets)
}

fn asset(element: &Element<'_>) -> Result<Asset, Fault> {
    let none: Arc<str> = "".into();
    let mut asset = Asset {
        kind: text(element.local_name()),
        id: none.clone(),
        timestamp: none.clone(),
        device_uuid: none,
        is_removed: false,
    };
    element.attributes(|key, value| match key {
        "assetId" => asset.id = text(&value),
        "timestamp" => asset.timestamp = text(&value),
        "deviceUuid" => asset.device_uuid = text(&value),
        "removed" => asset.is_removed = value.trim() == "true",
        _ => {}
    })?;
    Ok(asset)
}

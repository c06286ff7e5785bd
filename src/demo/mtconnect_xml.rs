//! The documents of the wrapper's agent, in schema 2.2.

use std::fmt::Write as _;

use super::mtconnect::{BUFFER_SIZE, Buffer, Made};
use super::points::{self, ItemKind, Place};
use crate::clock;

/// Components of the wrapper, each with the one it is part of.
const COMPONENTS: [(&str, &str); 3] =
    [("Device", "wrapper"), ("Controller", "ctl"), ("Rotary", "table")];

fn document(kind: &str, buffer: &Buffer, sequences: &str, body: &str) -> String {
    let (instance, now) = (buffer.instance, clock::now().to_rfc3339_millis());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MTConnect{kind} \
         xmlns=\"urn:mtconnect.org:MTConnect{kind}:2.2\"><Header creationTime=\"{now}\" \
         sender=\"demo\" instanceId=\"{instance}\" version=\"2.2.0.0\" \
         bufferSize=\"{BUFFER_SIZE}\"{sequences}/>{body}</MTConnect{kind}>"
    )
}

fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

fn items() -> impl Iterator<Item = &'static ItemKind> {
    points::all().filter_map(|point| match point.place {
        Place::Item(item) => Some(item),
        _ => None,
    })
}

/// The model.
pub(super) fn probe(buffer: &Buffer) -> String {
    let own = |component: &str| {
        let list = items().filter(|item| item.component == component).map(|item| {
            let ItemKind { id, category, kind, units, .. } = item;
            let units =
                if units.is_empty() { String::new() } else { format!(" units=\"{units}\"") };
            format!("<DataItem id=\"{id}\" category=\"{category}\" type=\"{kind}\"{units}/>")
        });
        format!("<DataItems>{}</DataItems>", list.collect::<String>())
    };
    let body = format!(
        "<Devices><Device id=\"wrapper\" name=\"Wrapper\" uuid=\"demo-wrapper\">{}<Components>\
         <Controller id=\"ctl\" name=\"controller\">{}</Controller><Axes id=\"axes\"><Components>\
         <Rotary id=\"table\" name=\"C\">{}</Rotary></Components></Axes></Components></Device>\
         </Devices>",
        own("Device"),
        own("Controller"),
        own("Rotary"),
    );
    document("Devices", buffer, "", &body)
}

/// The present state.
pub(super) fn current(buffer: &Buffer) -> String {
    streams(buffer, &buffer.newest, buffer.next)
}

/// The tools: the reel of film that is on.
pub(super) fn assets(buffer: &Buffer) -> String {
    let now = clock::now().to_rfc3339_millis();
    let body = format!(
        "<Assets><RawMaterial assetId=\"film-reel-1\" deviceUuid=\"demo-wrapper\" \
         timestamp=\"{now}\"/></Assets>"
    );
    document("Assets", buffer, "", &body)
}

/// Observations, by component and category.
pub(super) fn streams(buffer: &Buffer, made: &[Made], next: u64) -> String {
    let mut body = String::from("<Streams><DeviceStream name=\"Wrapper\" uuid=\"demo-wrapper\">");
    for (component, id) in COMPONENTS {
        let mut within = String::new();
        for (list, category) in
            [("Samples", "SAMPLE"), ("Events", "EVENT"), ("Condition", "CONDITION")]
        {
            let own =
                |made: &&Made| made.item.component == component && made.item.category == category;
            let all: String = made.iter().filter(own).map(observation).collect();
            if !all.is_empty() {
                write!(within, "<{list}>{all}</{list}>").expect("a String takes every write");
            }
        }
        if !within.is_empty() {
            let open = format!("<ComponentStream component=\"{component}\" componentId=\"{id}\">");
            body.extend([&open, &within, "</ComponentStream>"]);
        }
    }
    body.push_str("</DeviceStream></Streams>");
    let (first, last) = (buffer.first(), buffer.next.saturating_sub(1));
    let sequences =
        format!(" firstSequence=\"{first}\" lastSequence=\"{last}\" nextSequence=\"{next}\"");
    document("Streams", buffer, &sequences, &body)
}

fn observation(made: &Made) -> String {
    let ItemKind { id, category, kind, element, .. } = made.item;
    let (sequence, at, text) = (made.sequence, made.at.to_rfc3339(), escaped(&made.text));
    let known = format!("dataItemId=\"{id}\" sequence=\"{sequence}\" timestamp=\"{at}\"");
    match (*category, made.text.as_str()) {
        ("CONDITION", "WARNING") => format!(
            "<Warning {known} type=\"{kind}\" nativeCode=\"F7\">reel nearly empty</Warning>"
        ),
        ("CONDITION", _) => format!("<Normal {known} type=\"{kind}\"/>"),
        _ => format!("<{element} {known}>{text}</{element}>"),
    }
}

/// An error.
pub(super) fn error(code: &str) -> String {
    let body = format!("<Errors><Error errorCode=\"{code}\">refused</Error></Errors>");
    document("Error", &Buffer::default(), "", &body)
}

//! Tags of protocols without names: an address, a type, and its live value.

use std::sync::Arc;

use super::Setting;
use crate::driver::{EndpointSpec, Protocol};
use crate::model::{DataType, Quality, Tag, UnitId};
use crate::surface::cli::direct::Direct;
use crate::surface::cli::exit::Failure;
use crate::surface::text::escaped;
use crate::tools::setup::Line;

impl Setting {
    /// Asks for addresses and reads each; `None` where nothing was read and that is not wanted.
    pub(super) fn by_hand(
        &mut self,
        line: &mut Direct,
        protocol: &Protocol,
        spec: &EndpointSpec,
        instead: &str,
    ) -> Result<Option<Vec<Arc<Tag>>>, Failure> {
        self.talk.say(&format!("{instead}."))?;
        let mut tags: Vec<Arc<Tag>> = Vec::new();
        loop {
            let question = match tags.len() {
                0 => "Address of a value to read now",
                _ => "Another address, or nothing to go on",
            };
            let address = self.talk.ask(question, "")?;
            if address.is_empty() {
                break;
            }
            if let Some(tag) = self.tag(protocol, spec, &address)? {
                tags.extend(self.read_live(line, tag)?);
            }
        }
        if tags.is_empty() {
            let question = "Nothing was read, so nothing is proved but the connection. Save it";
            return Ok(self.talk.agree(question, false)?.then(Vec::new));
        }
        Ok(Some(tags))
    }

    /// Makes a tag of an address and a type, if the protocol takes them.
    fn tag(
        &mut self,
        protocol: &Protocol,
        spec: &EndpointSpec,
        address: &str,
    ) -> Result<Option<Tag>, Failure> {
        let data_type = self.data_type()?;
        let unit = spec.settings.get("unit_id").and_then(serde_json::Value::as_u64);
        let unit = UnitId(unit.and_then(|unit| u8::try_from(unit).ok()).unwrap_or_default());
        let name = format!("{}/{address}", spec.name);
        let tag = Tag { data_type, unit, ..Tag::new(&name, &spec.name, address) };
        match (protocol.address)(&tag) {
            Ok(_) => Ok(Some(tag)),
            Err(error) => {
                self.talk.say(&escaped(&error.with_hint()))?;
                Ok(None)
            }
        }
    }

    /// Asks for a type until it is one.
    fn data_type(&mut self) -> Result<DataType, Failure> {
        let question = "Type, such as float32 or bool; nothing for the address' own";
        loop {
            let word = self.talk.ask(question, "")?;
            let found = match word.as_str() {
                "" => Some(DataType::Native),
                word => DataType::parse(word),
            };
            if let Some(found) = found {
                return Ok(found);
            }
            self.talk.say("That is no type; uint16, int32, float64, bool, string(16) are.")?;
        }
    }

    /// Reads it now, and asks for its name.
    fn read_live(&mut self, line: &mut Direct, tag: Tag) -> Result<Option<Arc<Tag>>, Failure> {
        let tag = Arc::new(tag);
        let read = self.runtime.block_on(line.read(std::slice::from_ref(&tag)));
        let live = match read {
            Ok(lives) => lives.into_iter().next(),
            Err(error) => {
                self.talk.say(&format!("  FAULT   {}", escaped(&error.with_hint())))?;
                return Ok(None);
            }
        };
        let Some(live) = live else { return Ok(None) };
        self.talk.say(&format!("  {} = {live}", escaped(&tag.address)))?;
        if !live.quality.is_good() {
            self.talk.say(match live.quality {
                Quality::BAD_CONFIGURATION_ERROR => {
                    "  The device refuses this address; its manual says which it has."
                }
                _ => "  That is no good value, so it becomes no tag here.",
            })?;
            return Ok(None);
        }
        let name = self.talk.ask("Name of this tag, or - to drop it", &tag.name)?;
        if name == "-" {
            return Ok(None);
        }
        Ok(Some(Arc::new(Tag { name: name.as_str().into(), ..(*tag).clone() })))
    }
}

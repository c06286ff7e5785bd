//! One look at everything: links, alarms, learnt assets, and as many tags as there is time for.

use std::collections::HashMap;
use std::sync::Arc;

use super::book::{About, Open, Turn};
use super::face::{FindingsFace, Loss, Published, Round};
use super::links::LinkNow;
use super::together::States;
use crate::actors::directory::Directory;
use crate::actors::historian::HistorianFace;
use crate::cache::{Positions, TagCache};
use crate::clock;
use crate::diagnose::asset::AssetJudge;
use crate::diagnose::detect::Courses;
use crate::diagnose::{Skew, Verdict};
use crate::model::{EndpointName, Tag, TagId, Timestamp};

/// What the actor stands on.
#[derive(Clone)]
pub(crate) struct FindingsArgs {
    pub(crate) cache: Arc<TagCache>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) historian: Arc<HistorianFace>,
    pub(crate) face: Arc<FindingsFace>,
}

/// Tags that are judged with each other as neighbours.
pub(super) type Group = Vec<(TagId, Arc<Tag>)>;

/// What it knows from look to look.
pub(super) struct Watch {
    pub(super) args: FindingsArgs,
    /// The round under way: its groups, and how many are done.
    pub(super) groups: Vec<Group>,
    pub(super) done: usize,
    pub(super) began_ms: u64,
    pub(super) judged: usize,
    /// The long runs of measured tags.
    pub(super) courses: Courses,
    /// The learnt assets in operation, and how they stand.
    pub(super) judges: HashMap<Arc<str>, AssetJudge>,
    pub(super) states: States,
    /// Offsets of the sources' clocks, of this round.
    pub(super) offsets: HashMap<EndpointName, (Vec<i64>, u32)>,
    pub(super) skews: HashMap<EndpointName, Skew>,
    pub(super) round: Option<Round>,
    pub(super) losses: HashMap<EndpointName, Loss>,
    pub(super) store_loss: Option<Loss>,
    /// The tags whose limits are followed, and how far.
    pub(super) limited: Vec<TagId>,
    pub(super) positions: Positions,
}

impl Watch {
    pub(super) fn new(args: FindingsArgs) -> Self {
        Self {
            args,
            groups: Vec::new(),
            done: 0,
            began_ms: 0,
            judged: 0,
            courses: Courses::default(),
            judges: HashMap::new(),
            states: States::new(),
            offsets: HashMap::new(),
            skews: HashMap::new(),
            round: None,
            losses: HashMap::new(),
            store_loss: None,
            limited: Vec::new(),
            positions: Positions::default(),
        }
    }

    /// Looks at everything once, and gives what was opened and closed.
    pub(super) fn look(&mut self) -> Vec<Turn> {
        let now = clock::now();
        let links = self.links(now);
        self.alarms(now);
        self.assets(&links, now);
        self.tags(&links, now);
        let face = self.args.face.clone();
        let mut book = face.book.lock();
        book.suppress(|open| is_consequence(open, &links, &self.args.cache), now);
        let (open, turns) = book.take();
        let left_out = book.left_out;
        drop(book);
        let published = Published {
            open,
            left_out,
            skews: self.skews.clone(),
            losses: self.losses.clone(),
            store_loss: self.store_loss,
            round: self.round,
            assets: self.states.clone(),
        };
        face.publish(published, !turns.is_empty());
        turns
    }

    /// Closes what is about things that are no more.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        let FindingsArgs { cache, directory, face, .. } = &self.args;
        let is_there = |about: &About| match about {
            About::Collector => true,
            About::Endpoint(name) | About::Unit(name, _) => directory.find(name).is_some(),
            About::Tag(id) => cache.tag(*id).is_some(),
            About::Asset(name) => face.assets.has(name),
        };
        face.book.lock().tidy(is_there, now);
        self.courses.keep(|id| cache.tag(id).is_some());
    }
}

/// Tells whether something else that is open explains it: a dead endpoint explains its units,
/// and both explain their tags.
fn is_consequence(open: &Open, links: &HashMap<EndpointName, LinkNow>, cache: &TagCache) -> bool {
    match &open.about {
        // An asset is not judged while one of its tags is silent.
        About::Collector | About::Asset(_) => false,
        About::Endpoint(name) => {
            let is_down = links.get(name).is_some_and(|link| link.is_down);
            is_down && matches!(open.verdict, Verdict::QueueFull | Verdict::ClockWrong)
        }
        About::Unit(name, _) => links.get(name).is_some_and(|link| link.is_down),
        About::Tag(id) => cache.tag(*id).is_some_and(|tag| {
            let link = links.get(&tag.endpoint);
            link.is_some_and(|link| link.is_down || link.is_dead(tag.unit))
        }),
    }
}

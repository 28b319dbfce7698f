//! Where members of one cluster find their store, and what they write there.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use control::config::Endpoint;
use control::image::{ClusterImage, MetadataPosition};
use control::record::{BrokerId, ControllerEpoch, DirectoryId, Record, TopicRecord};
use control::store::{LeadError, Leadership, LogBatch, Member, MetaLog, OpenError, Opened, StoreConfig};
use engine::types::Offset;
use uuid::Uuid;

pub const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// A store that nobody has used yet.
pub struct Place {
    pub config: Box<dyn Fn(i32) -> StoreConfig>,
    /// How many members it has at most.
    pub members_max: usize,
    incarnations: Cell<u128>,
    election: Option<Rc<dyn Election>>,
}

/// Where the members elect the controller, and keep the one that they hear: another leads only when that one is heard no more.
pub trait Election {
    /// Member `id` is about to be opened. Who else has a vote must be there, too.
    fn prepare(&self, id: i32);
    /// Nobody hears `id` any more; everybody hears everybody else.
    fn silence(&self, id: Option<i32>);
}

impl Place {
    pub fn new(members_max: usize, config: impl Fn(i32) -> StoreConfig + 'static) -> Place {
        Place {
            config: Box::new(config),
            members_max,
            incarnations: Cell::new(0),
            election: None,
        }
    }

    pub fn elected(mut self, election: Rc<dyn Election>) -> Place {
        self.election = Some(election);
        self
    }

    /// Whether a controller that is heard stays the controller, whoever suspects it.
    pub fn is_elected(&self) -> bool {
        self.election.is_some()
    }

    pub fn silence(&self, id: Option<i32>) {
        if let Some(election) = &self.election {
            election.silence(id);
        }
    }

    /// Makes `log`, the member `id`, the controller in place of whoever is.
    pub async fn lead(&self, log: &MetaLog, id: i32) -> ControllerEpoch {
        if !self.is_elected() {
            return lead(log).await;
        }
        loop {
            let known = log.controller();
            let other = known.as_ref().map(|known| known.controller.0);
            self.silence(other.filter(|other| *other != id));
            let led = log.lead(known.map(|known| known.epoch)).await;
            self.silence(None);
            match led {
                Ok(epoch) => return epoch,
                // another voter was faster: it is silenced next
                Err(LeadError::Taken(_) | LeadError::Unavailable(_)) => {
                    reactor::sleep(Duration::from_millis(2)).await
                }
                Err(LeadError::Append(error)) => panic!("{error}"),
            }
        }
    }

    /// A new start of member `id`, with the directories that it always has.
    pub fn member(&self, id: i32) -> Member {
        self.incarnations.set(self.incarnations.get() + 1);
        member(id, self.incarnations.get())
    }

    pub async fn try_open(&self, member: &Member) -> Result<Opened, OpenError> {
        if let Some(election) = &self.election {
            election.prepare(member.id.0);
        }
        MetaLog::open(&(self.config)(member.id.0), member).await
    }

    pub async fn open(&self, id: i32) -> MetaLog {
        let opened = self.try_open(&self.member(id)).await.expect("opens");
        assert_eq!(opened.cluster_id, CLUSTER_ID);
        opened.log
    }
}

/// Member `id` with the directories that it always has, at its start number `incarnation`.
pub fn member(id: i32, incarnation: u128) -> Member {
    Member {
        id: BrokerId(id),
        incarnation_id: Uuid::from_u128(u128::from(id.unsigned_abs()) * 1_000_000 + incarnation),
        endpoint: Endpoint {
            host: "localhost".to_owned(),
            port: 9000 + u16::try_from(id).unwrap_or(0),
        },
        log_dirs: vec![DirectoryId(Uuid::from_u128(u128::from(id.unsigned_abs()) + 2000))],
        cluster_id: Some(CLUSTER_ID.to_owned()),
    }
}

pub fn run<F: Future>(future: F) -> F::Output {
    let config = reactor::Config::default();
    reactor::run(config, future).expect("a reactor")
}

pub fn topic(number: u64) -> Record {
    TopicRecord {
        name: format!("topic-{number}"),
        topic_id: Uuid::from_u128(u128::from(number) + 1),
        ..TopicRecord::default()
    }
    .into()
}

/// Every batch from the log's start on.
pub async fn batches(log: &MetaLog) -> Vec<LogBatch> {
    let mut next = log.start_offset();
    let mut found = Vec::new();
    while next < log.end_offset() {
        let more = log.read(next, 100_000).await.expect("reads");
        let last = more.last().expect("not past the end");
        next = last.last_offset.next();
        found.extend(more);
    }
    found
}

pub async fn records(log: &MetaLog) -> Vec<Record> {
    batches(log)
        .await
        .into_iter()
        .flat_map(|batch| batch.records)
        .collect()
}

/// What a start makes of snapshot and log: all records, whichever of both holds them.
pub async fn replayed(log: &MetaLog) -> Vec<Record> {
    loop {
        let snapshot = log.snapshot().await.expect("reads");
        let (mut all, mut next) = match snapshot {
            Some(snapshot) => (snapshot.records, snapshot.id.end_offset),
            None => (Vec::new(), Offset(0)),
        };
        let mut is_behind = false;
        while next < log.end_offset() {
            match log.read(next, 100_000).await {
                Ok(more) => {
                    next = more.last().expect("not past the end").last_offset.next();
                    all.extend(more.into_iter().flat_map(|batch| batch.records));
                }
                // a newer snapshot has come meanwhile
                Err(control::store::ReadError::BehindLog { .. }) => {
                    is_behind = true;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if !is_behind {
            return all;
        }
    }
}

pub fn image(records: &[Record], position: MetadataPosition) -> ClusterImage {
    let (image, _) = ClusterImage::empty(CLUSTER_ID).apply(records).expect("fits");
    image.at(position)
}

/// Leads, in place of whoever does.
pub async fn lead(log: &MetaLog) -> ControllerEpoch {
    loop {
        let predecessor = log.controller().map(|leadership| leadership.epoch);
        match log.lead(predecessor).await {
            Ok(epoch) => return epoch,
            Err(LeadError::Taken(_) | LeadError::Unavailable(_)) => {
                reactor::sleep(Duration::from_millis(2)).await
            }
            Err(LeadError::Append(error)) => panic!("{error}"),
        }
    }
}

/// Waits until `log` knows that `id` is the controller.
pub async fn see_controller(log: &MetaLog, id: i32) -> Leadership {
    let mut seen = log.controller();
    loop {
        match seen {
            Some(leadership) if leadership.controller == BrokerId(id) => return leadership,
            other => seen = log.controller_changed(other.as_ref()).await,
        }
    }
}

//! DeleteTopics, by name and by id.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::decider::{Controller, Decision};
use super::error::{ApiError, ErrorCode};
use super::request::DeleteTopics;
use super::response::{DeletedTopic, Response};
use crate::image::ClusterImage;
use crate::record::{Record, RemoveTopicRecord};

impl Controller {
    pub(super) fn delete_topics(
        &self,
        request: DeleteTopics,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        if !self.config.topics.deletable {
            return Err(ApiError::new(
                ErrorCode::TOPIC_DELETION_DISABLED,
                "Topic deletion is disabled.",
            ));
        }
        let invalid = |message: &str| Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
        let mut names = Distinct::default();
        let mut ids = Distinct::default();
        let mut results = Vec::with_capacity(request.topics.len());
        let mut answer = |name: Option<String>, id, result| results.push(DeletedTopic { name, id, result });
        for topic in request.topics {
            match (topic.name, topic.id) {
                (None, id) if id.is_nil() => {
                    answer(None, id, invalid("Neither topic name nor id were specified."));
                }
                (None, id) => ids.insert(id),
                (Some(name), id) if id.is_nil() => names.insert(name),
                (name, id) => answer(
                    name,
                    id,
                    invalid("You may not specify both topic name and topic id."),
                ),
            }
        }
        for name in &names.twice {
            answer(Some(name.clone()), Uuid::nil(), invalid("Duplicate topic name."));
        }
        for id in &ids.twice {
            answer(None, *id, invalid("Duplicate topic id."));
        }
        let mut found: BTreeMap<Uuid, String> = BTreeMap::new();
        for id in ids.once() {
            match image.topic(id) {
                Some(topic) => drop(found.insert(id, topic.name.to_string())),
                None => answer(
                    None,
                    id,
                    Err(ApiError::new(
                        ErrorCode::UNKNOWN_TOPIC_ID,
                        "This server does not host this topic ID.",
                    )),
                ),
            }
        }
        for name in names.once() {
            let Some(id) = image.topic_id(&name) else {
                let unknown = ApiError::new(
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    "This server does not host this topic-partition.",
                );
                answer(Some(name), Uuid::nil(), Err(unknown));
                continue;
            };
            // A topic that is named twice in different ways is not deleted at all, as in Kafka.
            if ids.twice.contains(&id) || found.remove(&id).is_some() {
                let result = invalid("The provided topic name maps to an ID that was already supplied.");
                answer(Some(name), id, result);
            } else {
                found.insert(id, name);
            }
        }
        let mut records = Vec::with_capacity(found.len());
        for (id, name) in found {
            records.push(Record::from(RemoveTopicRecord {
                topic_id: id,
                ..RemoveTopicRecord::default()
            }));
            answer(Some(name), id, Ok(()));
        }
        Ok(Decision {
            response: Response::DeleteTopics(results),
            records,
        })
    }
}

/// Keys, and which of them came more than once.
struct Distinct<K> {
    all: BTreeSet<K>,
    twice: BTreeSet<K>,
}

impl<K> Default for Distinct<K> {
    fn default() -> Self {
        Distinct {
            all: BTreeSet::new(),
            twice: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Distinct<K> {
    fn insert(&mut self, key: K) {
        if !self.all.insert(key.clone()) {
            self.twice.insert(key);
        }
    }

    fn once(&self) -> impl Iterator<Item = K> {
        self.all.difference(&self.twice).cloned()
    }
}

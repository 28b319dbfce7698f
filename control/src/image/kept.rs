//! Records of parts of the cluster that have no image of their own yet, kept so that snapshots lose none of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use uuid::Uuid;

use crate::record::{BrokerId, ClientQuotaRecord, Record};

/// What a record is about; a later record about the same takes its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Controller(BrokerId),
    Quota(Vec<(String, Option<String>)>, String),
    Acl(Uuid),
    Scram(String, i8),
    Token(String),
}

#[derive(Clone, Debug)]
pub(super) struct KeptRecords {
    records: RedBlackTreeMapSync<Subject, Arc<Record>>,
}

impl Default for KeptRecords {
    fn default() -> Self {
        KeptRecords {
            records: RedBlackTreeMapSync::new_sync(),
        }
    }
}

impl KeptRecords {
    /// Takes `record` in, or takes out what it removes. Whether it was one to keep.
    pub(super) fn replay(&mut self, record: &Record) -> bool {
        let subject = match record {
            Record::RegisterController(controller) => Subject::Controller(controller.controller_id),
            Record::AccessControlEntry(entry) => Subject::Acl(entry.id),
            Record::UserScramCredential(credential) => {
                Subject::Scram(credential.name.clone(), credential.mechanism)
            }
            Record::DelegationToken(token) => Subject::Token(token.token_id.clone()),
            Record::ClientQuota(quota) if quota.remove => return self.remove(&quota_subject(quota)),
            Record::ClientQuota(quota) => quota_subject(quota),
            Record::RemoveAccessControlEntry(entry) => return self.remove(&Subject::Acl(entry.id)),
            Record::RemoveUserScramCredential(credential) => {
                return self.remove(&Subject::Scram(credential.name.clone(), credential.mechanism));
            }
            Record::RemoveDelegationToken(token) => {
                return self.remove(&Subject::Token(token.token_id.clone()));
            }
            _ => return false,
        };
        self.records.insert_mut(subject, Arc::new(record.clone()));
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.values().map(|record| &**record)
    }

    /// How many there are of each kind that Kafka acts on and this version does not.
    pub(super) fn without_effect(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for subject in self.records.keys() {
            let kind = match subject {
                Subject::Controller(_) => continue,
                Subject::Quota(..) => "client quotas",
                Subject::Acl(_) => "access control entries",
                Subject::Scram(..) => "SCRAM credentials",
                Subject::Token(_) => "delegation tokens",
            };
            *counts.entry(kind).or_insert(0) += 1;
        }
        counts
    }

    fn remove(&mut self, subject: &Subject) -> bool {
        self.records.remove_mut(subject);
        true
    }
}

fn quota_subject(quota: &ClientQuotaRecord) -> Subject {
    let entity = quota.entity.iter();
    let mut entity: Vec<_> = entity
        .map(|part| (part.entity_type.clone(), part.entity_name.clone()))
        .collect();
    // "user and client" and "client and user" are one entity.
    entity.sort();
    Subject::Quota(entity, quota.key.clone())
}

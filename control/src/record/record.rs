//! One metadata record of whatever kind, and its frame.
//!
//! ```text
//! frame version   unsigned varint, 1
//! api key         unsigned varint
//! record version  unsigned varint
//! message         fields of that key at that version, then tagged fields
//! ```

use super::codec::{DecodeError, Reader, Writer};
use super::schema::Message;
use super::{broker::*, cluster::*, security::*, topic::*};

const FRAME_VERSION: u32 = 1;

/// A record of a kind, or of a version of a kind, that nobody had invented when this was written. Its bytes are kept
/// as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueRecord {
    pub api_key: u16,
    pub version: u16,
    pub body: Box<[u8]>,
}

macro_rules! records {
    ($( $key:literal $kind:ident($message:ident), )*) => {
        /// A metadata record. The numbers are Kafka's api keys.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Record {
            $( $kind($message), )*
            Opaque(OpaqueRecord),
        }

        $(
            impl From<$message> for Record {
                fn from(message: $message) -> Record {
                    Record::$kind(message)
                }
            }
        )*

        impl Record {
            pub fn api_key(&self) -> u16 {
                match self {
                    $( Record::$kind(_) => $key, )*
                    Record::Opaque(record) => record.api_key,
                }
            }

            /// Version the record is written at.
            pub fn version(&self) -> u16 {
                match self {
                    $( Record::$kind(message) => message.version(), )*
                    Record::Opaque(record) => record.version,
                }
            }

            /// Kafka's name of the kind, for people.
            pub fn kind(&self) -> &'static str {
                match self {
                    $( Record::$kind(_) => stringify!($message), )*
                    Record::Opaque(_) => "unknown record",
                }
            }

            fn read_body(api_key: u16, version: u16, reader: &mut Reader<'_>) -> Result<Record, DecodeError> {
                match api_key {
                    $( $key if version <= $message::HIGHEST => {
                        $message::read(reader, version).map(Record::$kind)
                    } )*
                    _ => Ok(Record::Opaque(OpaqueRecord {
                        api_key,
                        version,
                        body: reader.take(reader.left())?.into(),
                    })),
                }
            }

            fn write_body(&self, writer: &mut Writer, version: u16) {
                match self {
                    $( Record::$kind(message) => message.write(writer, version), )*
                    Record::Opaque(record) => writer.put(&record.body),
                }
            }
        }
    };
}

records! {
    0 RegisterBroker(RegisterBrokerRecord),
    1 UnregisterBroker(UnregisterBrokerRecord),
    2 Topic(TopicRecord),
    3 Partition(PartitionRecord),
    4 Config(ConfigRecord),
    5 PartitionChange(PartitionChangeRecord),
    7 FenceBroker(FenceBrokerRecord),
    8 UnfenceBroker(UnfenceBrokerRecord),
    9 RemoveTopic(RemoveTopicRecord),
    10 DelegationToken(DelegationTokenRecord),
    11 UserScramCredential(UserScramCredentialRecord),
    12 FeatureLevel(FeatureLevelRecord),
    14 ClientQuota(ClientQuotaRecord),
    15 ProducerIds(ProducerIdsRecord),
    17 BrokerRegistrationChange(BrokerRegistrationChangeRecord),
    18 AccessControlEntry(AccessControlEntryRecord),
    19 RemoveAccessControlEntry(RemoveAccessControlEntryRecord),
    20 NoOp(NoOpRecord),
    21 ZkMigrationState(ZkMigrationStateRecord),
    22 RemoveUserScramCredential(RemoveUserScramCredentialRecord),
    23 BeginTransaction(BeginTransactionRecord),
    24 EndTransaction(EndTransactionRecord),
    25 AbortTransaction(AbortTransactionRecord),
    26 RemoveDelegationToken(RemoveDelegationTokenRecord),
    27 RegisterController(RegisterControllerRecord),
    28 ClearElr(ClearElrRecord),
}

impl Record {
    /// Reads one framed record, which must fill `bytes` exactly.
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        let mut reader = Reader::new(bytes);
        let frame_version = reader.unsigned_varint()?;
        if frame_version != FRAME_VERSION {
            return Err(DecodeError::FrameVersion(frame_version));
        }
        let api_key = reader.unsigned_varint()?;
        let api_key = u16::try_from(api_key).map_err(|_| DecodeError::ApiKey(api_key))?;
        let version = reader.unsigned_varint()?;
        let version = u16::try_from(version).map_err(|_| DecodeError::RecordVersion(version))?;
        let record = Record::read_body(api_key, version, &mut reader)?;
        reader.finish()?;
        Ok(record)
    }

    /// The framed record, as it is the value of a record of the metadata log.
    pub fn encode(&self) -> Vec<u8> {
        let version = self.version();
        let mut writer = Writer::new();
        writer.unsigned_varint(FRAME_VERSION);
        writer.unsigned_varint(self.api_key().into());
        writer.unsigned_varint(version.into());
        self.write_body(&mut writer, version);
        writer.into_bytes()
    }
}

#[cfg(test)]
#[path = "golden_tests.rs"]
mod golden_tests;

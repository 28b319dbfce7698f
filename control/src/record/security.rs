//! Records of who may do what, and how much of it: ACLs, SCRAM credentials, delegation tokens, quotas.

use bytes::Bytes;
use engine::types::Timestamp;
use uuid::Uuid;

use super::schema::{element, message};

message! {
    AccessControlEntryRecord writes 0 highest 0 {
        id: Uuid = Uuid::nil(), since 0;
        resource_type: i8 = 0, since 0;
        resource_name: String = String::new(), since 0;
        pattern_type: i8 = 0, since 0;
        principal: String = String::new(), since 0;
        host: String = String::new(), since 0;
        operation: i8 = 0, since 0;
        permission_type: i8 = 0, since 0;
    }
    tagged {}
}

message! {
    RemoveAccessControlEntryRecord writes 0 highest 0 {
        id: Uuid = Uuid::nil(), since 0;
    }
    tagged {}
}

message! {
    UserScramCredentialRecord writes 0 highest 0 {
        name: String = String::new(), since 0;
        mechanism: i8 = 0, since 0;
        salt: Bytes = Bytes::new(), since 0;
        stored_key: Bytes = Bytes::new(), since 0;
        server_key: Bytes = Bytes::new(), since 0;
        iterations: i32 = 0, since 0;
    }
    tagged {}
}

message! {
    RemoveUserScramCredentialRecord writes 0 highest 0 {
        name: String = String::new(), since 0;
        mechanism: i8 = 0, since 0;
    }
    tagged {}
}

message! {
    DelegationTokenRecord writes 0 highest 0 {
        owner: String = String::new(), since 0;
        requester: String = String::new(), since 0;
        renewers: Vec<String> = Vec::new(), since 0;
        issue_timestamp: Timestamp = Timestamp(0), since 0;
        max_timestamp: Timestamp = Timestamp(0), since 0;
        expiration_timestamp: Timestamp = Timestamp(0), since 0;
        token_id: String = String::new(), since 0;
    }
    tagged {}
}

message! {
    RemoveDelegationTokenRecord writes 0 highest 0 {
        token_id: String = String::new(), since 0;
    }
    tagged {}
}

element! {
    /// One part of whom a quota is for; no name means the default of its type.
    QuotaEntity {
        entity_type: String = String::new();
        entity_name: Option<String> = None;
    }
}

message! {
    ClientQuotaRecord writes 0 highest 0 {
        entity: Vec<QuotaEntity> = Vec::new(), since 0;
        key: String = String::new(), since 0;
        value: f64 = 0.0, since 0;
        remove: bool = false, since 0;
    }
    tagged {}
}

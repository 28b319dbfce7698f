//! Requests that read and change properties.

use super::field::{Api, Field, Kind::*, field};

#[rustfmt::skip] // one API a line
pub(super) const APIS: &[Api] = &[
    Api { key: 32, name: "DescribeConfigs", version_min: 1, version_max: 4, flexible_since: 4, fields: DESCRIBE_CONFIGS },
    Api { key: 33, name: "AlterConfigs", version_min: 0, version_max: 2, flexible_since: 2, fields: ALTER_CONFIGS },
    Api { key: 44, name: "IncrementalAlterConfigs", version_min: 0, version_max: 1, flexible_since: 1, fields: INCREMENTAL_ALTER_CONFIGS },
    Api { key: 74, name: "ListConfigResources", version_min: 0, version_max: 1, flexible_since: 0, fields: LIST_CONFIG_RESOURCES },
];

const DESCRIBE_CONFIGS: &[Field] = &[
    field(
        "Resources",
        Structs(&[
            field("ResourceType", I8),
            field("ResourceName", String),
            field("ConfigurationKeys", Strings).null(),
        ]),
    ),
    field("IncludeSynonyms", I8),
    field("IncludeDocumentation", I8).since(3),
];

const ALTER_CONFIGS: &[Field] = &[
    field(
        "Resources",
        Structs(&[
            field("ResourceType", I8),
            field("ResourceName", String),
            field(
                "Configs",
                Structs(&[field("Name", String), field("Value", String).null()]),
            ),
        ]),
    ),
    field("ValidateOnly", I8),
];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    field(
        "Resources",
        Structs(&[
            field("ResourceType", I8),
            field("ResourceName", String),
            field(
                "Configs",
                Structs(&[
                    field("Name", String),
                    field("ConfigOperation", I8),
                    field("Value", String).null(),
                ]),
            ),
        ]),
    ),
    field("ValidateOnly", I8),
];

const LIST_CONFIG_RESOURCES: &[Field] = &[field("ResourceTypes", I8s).since(1)];

//! What AlterConfigs and IncrementalAlterConfigs answer alike: one result per resource, in the order asked.

use control::controller::AlteredResource;
use kafka_protocol::protocol::StrBytes;

use super::control_error::{ControlError, parts};
use super::reply::text;

/// One resource of an answer.
pub struct Altered {
    pub resource_type: i8,
    pub name: StrBytes,
    pub code: i16,
    pub message: Option<StrBytes>,
}

/// `answered` by the controller; a refusal of the whole request is told for every resource in `asked`.
pub fn results(
    asked: Vec<(i8, String)>,
    answered: Result<Vec<AlteredResource>, ControlError>,
) -> Vec<Altered> {
    let one = |resource_type, name: String, result| {
        let (code, message) = parts(result);
        Altered {
            resource_type,
            name: text(name),
            code,
            message,
        }
    };
    match answered {
        Ok(results) => results
            .into_iter()
            .map(|altered| {
                one(
                    altered.resource_type,
                    altered.name,
                    altered.result.map_err(Into::into),
                )
            })
            .collect(),
        Err(error) => asked
            .into_iter()
            .map(|(resource_type, name)| one(resource_type, name, Err(error.clone())))
            .collect(),
    }
}

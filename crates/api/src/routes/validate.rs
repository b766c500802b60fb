//! `POST /v1/messages/validate`: the dry run of a message or a batch.

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::{send, view};

/// Says what sending would do, and does nothing.
pub async fn validate_messages(call: Call) -> Result<Reply, Problem> {
    let sending = call.sending()?;
    let _turn = match call.body.len() {
        0..=super::messages::INLINE_BYTES_MAX => None,
        _ => Some(call.app.service.batch_turn().await?),
    };
    let rows = send::read_either(&call.body)?;
    let checked = call.app.service.validate(sending, rows).await?;
    Ok(Reply::json(200, &view::Validation::new(&checked)))
}

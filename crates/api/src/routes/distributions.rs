//! `/v1/distributions/{channel}`: the customer's ratio over the relays.

use bongsu_domain::{Channel, Code};
use bongsu_store::distributions;

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::tree::Node;
use crate::view;

/// Reads the shares.
pub async fn find_distribution(call: Call) -> Result<Reply, Problem> {
    let (account, channel) = (call.account()?, channel(&call)?);
    let row = distributions::get(call.app.service.store(), account, channel).await?;
    Ok(Reply::json(200, &view::Distribution::new(&row)))
}

/// Sets the shares.
pub async fn update_distribution(call: Call) -> Result<Reply, Problem> {
    let (account, channel) = (call.account()?, channel(&call)?);
    let shares = call.fields(|fields| {
        let whole = |node: &Node<'_>| match node {
            Node::Whole(share) => Some(*share),
            _ => None,
        };
        let Some(shares) = fields.members("shares", "a whole number", whole) else {
            fields.wrong("shares", Code::BadRequest, "is required");
            return None;
        };
        Some(shares.into_iter().map(|(relay, share)| (relay.to_owned(), share)).collect::<Vec<_>>())
    })?;
    let row = distributions::put(call.app.service.store(), account, channel, &shares).await?;
    call.app.service.distributions_changed(account, channel).await;
    Ok(Reply::json(200, &view::Distribution::new(&row)))
}

/// Back to even shares.
pub async fn reset_distribution(call: Call) -> Result<Reply, Problem> {
    let (account, channel) = (call.account()?, channel(&call)?);
    let row = distributions::reset(call.app.service.store(), account, channel).await?;
    call.app.service.distributions_changed(account, channel).await;
    Ok(Reply::json(200, &view::Distribution::new(&row)))
}

fn channel(call: &Call) -> Result<Channel, Problem> {
    let word = &call.parameter;
    match Channel::parse(word) {
        Some(channel) => Ok(channel),
        None if bongsu_domain::channel::is_known_channel_name(word) => {
            Err(Problem::at(Code::FeatureNotEnabled, "channel", format!("{word} is not available yet")))
        }
        None => Err(Problem::not_found()),
    }
}

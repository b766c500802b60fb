//! `/v1/prices`: what one message of a channel costs. A message keeps the price it was accepted at.

use bongsu_domain::{Channel, Code, Price, Unit, channel::is_known_channel_name};
use bongsu_store::prices::{self, MAX_PRICE};

use crate::call::Call;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Lists prices.
pub async fn list_prices(call: Call) -> Result<Reply, Problem> {
    let rows = prices::list(call.app.service.store()).await?;
    let items = rows.iter().map(|(channel, price)| view::ChannelPrice::new(*channel, *price)).collect();
    Ok(Reply::json(200, &view::Page { items, next_cursor: None }))
}

/// Sets one price.
pub async fn update_price(call: Call) -> Result<Reply, Problem> {
    let (channel, price) = call.fields(|fields| {
        let (channel, unit) = (channel(fields), unit(fields));
        let amount = fields.required_whole("amount", 0, MAX_PRICE);
        Some((channel?, Price { unit: unit?, amount }))
    })?;
    prices::put(call.app.service.store(), channel, price).await?;
    Ok(Reply::json(200, &view::ChannelPrice::new(channel, price)))
}

fn channel(fields: &mut Fields<'_, '_, '_>) -> Option<Channel> {
    let word = fields.required_text("channel");
    let channel = Channel::parse(word);
    if channel.is_none() && is_known_channel_name(word) {
        fields.wrong("channel", Code::FeatureNotEnabled, format!("{word} is not available yet"));
    } else if channel.is_none() && !word.is_empty() {
        fields.wrong("channel", Code::BadRequest, "must be sms or lms");
    }
    channel
}

/// A unit of the wallet.
pub fn unit(fields: &mut Fields<'_, '_, '_>) -> Option<Unit> {
    fields.required("unit", "point:sms, point:kakao or krw", Unit::parse)
}

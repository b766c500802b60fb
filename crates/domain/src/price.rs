//! Prices: an amount in a unit, whole numbers only.

use crate::channel::Channel;

/// What balances and prices are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Unit {
    /// Points for text messages.
    PointSms = 0,
    /// Points for Kakao messages (당근).
    PointKakao = 1,
    /// Korean won in thousandths (milli-won).
    Krw = 2,
}

impl Unit {
    /// Every unit; a unit's number is its place.
    pub const ALL: [Unit; 3] = [Unit::PointSms, Unit::PointKakao, Unit::Krw];

    /// The word used outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unit::PointSms => "point:sms",
            Unit::PointKakao => "point:kakao",
            Unit::Krw => "krw",
        }
    }

    /// The unit of a word.
    pub fn parse(word: &str) -> Option<Unit> {
        Unit::ALL.into_iter().find(|unit| unit.as_str() == word)
    }

    /// The unit of a stored number.
    pub fn from_u8(number: u8) -> Option<Unit> {
        Unit::ALL.get(usize::from(number)).copied()
    }
}

/// The price of one message. It is frozen when the message is accepted: charge and refund read the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Price {
    /// What it is counted in.
    pub unit: Unit,
    /// How much of it, never negative.
    pub amount: i64,
}

impl Price {
    /// The price where nothing else is set: SMS 1 point, LMS 3.
    pub const fn default_for(channel: Channel) -> Price {
        let amount = match channel {
            Channel::Sms => 1,
            Channel::Lms => 3,
        };
        Price { unit: Unit::PointSms, amount }
    }

    /// The price of `count` messages; None when it does not fit 63 bits.
    pub fn times(self, count: u32) -> Option<Price> {
        let amount = self.amount.checked_mul(i64::from(count))?;
        Some(Price { unit: self.unit, amount })
    }
}

#[cfg(test)]
mod tests;

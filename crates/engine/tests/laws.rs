//! The laws of the cache and bus ports: what every engine must hold, one sentence a test; and what only Redis can do to them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "laws/buckets.rs"]
mod buckets;
#[path = "laws/bus.rs"]
mod bus;
#[path = "laws/cache.rs"]
mod cache;
#[cfg(feature = "redis")]
#[path = "laws/cuts.rs"]
mod cuts;
#[path = "laws/house.rs"]
mod house;
#[cfg(feature = "redis")]
#[path = "laws/outages.rs"]
mod outages;
#[cfg(feature = "redis")]
#[path = "laws/script.rs"]
mod script;
#[cfg(feature = "redis")]
#[path = "laws/server.rs"]
mod server;

/// Runs each law on each engine.
macro_rules! laws {
    ($($file:ident: $($law:ident),+;)+) => {
        mod inprocess {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                crate::$file::$law(crate::house::Inprocess::open()).await;
            })+)+
        }

        #[cfg(feature = "redis")]
        mod redis {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                if let Some(house) = crate::server::Redis::open().await {
                    crate::$file::$law(house).await;
                }
            })+)+
        }
    };
}

laws! {
    cache:
        a_value_that_was_put_is_got,
        another_value_takes_its_place,
        a_value_ends_with_its_time,
        a_value_put_again_begins_anew,
        a_forgotten_value_is_gone,
        what_is_over_a_limit_is_refused_and_leaves_nothing_behind,
        values_and_buckets_have_names_of_their_own,
        what_happens_is_counted;
    buckets:
        a_bucket_gives_its_burst_and_what_its_rate_earned,
        parallel_takers_in_two_processes_get_no_more_together,
        an_ask_above_the_burst_leaves_a_debt,
        a_bucket_fills_again,
        asking_for_nothing_takes_nothing,
        another_limit_keeps_what_was_spent,
        a_key_over_the_limit_gets_nothing;
    bus:
        a_message_reaches_every_receiver_of_its_topic_and_no_other,
        one_publisher_is_heard_in_its_order,
        a_slow_receiver_loses_the_oldest_and_is_told_how_many,
        what_waits_for_a_receiver_is_bounded_in_bytes,
        any_bytes_are_a_message,
        what_is_over_a_limit_is_refused,
        receivers_are_bounded_and_leave,
        a_bus_that_is_gone_ends_its_receivers_after_what_waits;
}

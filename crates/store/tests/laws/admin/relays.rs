//! Relays, how messages are spread over them, and prices.

use bongsu_domain::{AccountId, Channel, Price, RelayId, Secret, Unit};
use bongsu_store::relays::{Coding, Long, NewRelay, RelayPatch, RelaySettings};
use bongsu_store::{Kind, distributions, prices, relays};
use serde_json::json;

use super::account;
use crate::house::house;

pub fn relay(name: &str) -> NewRelay {
    NewRelay {
        name: name.into(),
        kind: "smpp".into(),
        address: "127.0.0.1:2775".into(),
        system_id: "bongsu".into(),
        password: Secret::new("s3cret!"),
        rate_per_s: 1000,
        window: 100,
        binds: 2,
        resend_unknown: true,
        settings: RelaySettings::default(),
    }
}

#[tokio::test]
async fn relays_are_rows_with_numbers_of_their_own() {
    let house = house();
    let store = house.store.clone();
    for (no, name) in ["kt", "skt", "lgu"].into_iter().enumerate() {
        assert_eq!(usize::from(relays::create(&store, relay(name)).await.unwrap().no), no);
    }
    assert_eq!(relays::create(&store, relay("kt")).await.unwrap_err().kind(), Kind::Conflict("name"));
    let row = relays::by_name(&store, "lgu").await.unwrap();
    assert_eq!(row.password.expose(), "s3cret!");
    assert!(!format!("{row:?}").contains("s3cret!"));
    let sealed: Vec<u8> =
        store.read(|r| r.live.query_row("SELECT password_sealed FROM relays", (), |row| row.get(0))).await.unwrap();
    assert!(!sealed.windows(7).any(|part| part == b"s3cret!"));

    let changes = json!({"coding": "ucs2", "long": "udh", "responseIdHex": true});
    let patch = RelayPatch {
        rate_per_s: Some(5),
        password: Some(Secret::new("other")),
        settings: changes.as_object().cloned(),
        ..Default::default()
    };
    let changed = relays::patch(&store, row.id, patch).await.unwrap();
    assert_eq!((changed.rate_per_s, changed.window, changed.password.expose()), (5, 100, "other"));
    assert_eq!((changed.settings.coding, changed.settings.long), (Coding::Ucs2, Long::Udh));
    assert_eq!(relays::get(&store, row.id).await.unwrap(), changed);
    let patch = RelayPatch { settings: json!({"coding": null}).as_object().cloned(), ..Default::default() };
    let changed = relays::patch(&store, row.id, patch).await.unwrap();
    assert_eq!((changed.settings.coding, changed.settings.response_id_hex), (Coding::Ksc5601, true));

    relays::delete(&store, row.id).await.unwrap();
    for gone in
        [relays::get(&store, row.id).await, relays::delete(&store, row.id).await, relays::by_name(&store, "lgu").await]
    {
        assert_eq!(gone.unwrap_err().kind(), Kind::NotFound);
    }
    let again = relays::create(&store, relay("lgu")).await.unwrap();
    assert_eq!(again.no, 3, "a number is never given again");
    let names: Vec<_> = relays::list(&store).await.unwrap().into_iter().map(|row| (row.no, row.name)).collect();
    assert_eq!(names, [(0, "kt".to_owned()), (1, "skt".to_owned()), (3, "lgu".to_owned())]);
    let vault = store.vault().clone();
    let all = store.read(move |reader| relays::load(&reader.live, &vault)).await.unwrap();
    assert_eq!(all.iter().filter(|row| row.deleted.is_some()).map(|row| row.no).collect::<Vec<_>>(), [2]);

    for no in 4..=relays::NO_MAX {
        assert_eq!(relays::create(&store, relay(&format!("r-{no}"))).await.unwrap().no, no);
    }
    assert_eq!(relays::create(&store, relay("one-more")).await.unwrap_err().kind(), Kind::Conflict("relays"));
    assert_eq!(relays::get(&store, RelayId(1)).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_relay_out_of_its_limits_is_refused_with_the_field() {
    let house = house();
    let store = house.store.clone();
    type Spoil = fn(&mut NewRelay);
    let cases: [(&'static str, Spoil); 19] = [
        ("name", |r| r.name = String::new()),
        ("name", |r| r.name = "KT".into()),
        ("name", |r| r.name = "a".repeat(21)),
        ("kind", |r| r.kind = "fax".into()),
        ("address", |r| r.address = "127.0.0.1".into()),
        ("address", |r| r.address = ":2775".into()),
        ("address", |r| r.address = "kt:0".into()),
        ("address", |r| r.address = "kt:70000".into()),
        ("address", |r| r.address = "http://kt:80".into()),
        ("systemId", |r| r.system_id = "x".repeat(16)),
        ("systemId", |r| r.system_id = String::new()),
        ("password", |r| r.password = Secret::new("비밀")),
        ("ratePerS", |r| r.rate_per_s = 0),
        ("window", |r| r.window = 0),
        ("window", |r| r.window = 10_001),
        ("binds", |r| r.binds = 33),
        ("settings", |r| r.settings.response_timeout_ms = 1),
        ("settings", |r| r.settings.enquire_link_ms = 1),
        ("settings", |r| r.settings.tls_ca = Some("-----BEGIN CERTIFICATE-----".into())),
    ];
    for (field, spoil) in cases {
        let mut new = relay("kt");
        spoil(&mut new);
        assert_eq!(relays::create(&store, new).await.unwrap_err().kind(), Kind::Invalid(field));
    }
    for bad in [json!({"colour": 1}), json!({"coding": "ebcdic"}), json!({"subjectTlv": 70000}), json!([])] {
        assert_eq!(relays::parse_settings(bad).unwrap_err().kind(), Kind::Invalid("settings"));
    }
    assert_eq!(relays::parse_settings(json!({})).unwrap(), RelaySettings::default());
    let row = relays::create(&store, relay("kt")).await.unwrap();
    for bad in [json!({"colour": null}), json!({"long": "very"}), json!({"enquireLinkMs": -1})] {
        let patch = RelayPatch { settings: bad.as_object().cloned(), ..Default::default() };
        assert_eq!(relays::patch(&store, row.id, patch).await.unwrap_err().kind(), Kind::Invalid("settings"));
    }
    for address in ["smsc.kt.example:2775", "[::1]:2775", "10.0.0.7:65535"] {
        relays::patch(&store, row.id, RelayPatch { address: Some(address.into()), ..Default::default() })
            .await
            .unwrap();
    }
    let patch = RelayPatch { binds: Some(0), ..Default::default() };
    assert_eq!(relays::patch(&store, row.id, patch).await.unwrap_err().kind(), Kind::Invalid("binds"));
}

#[tokio::test]
async fn shares_are_even_until_set_and_hold_their_relays() {
    let house = house();
    let store = house.store.clone();
    let own = account(&store).await;
    assert_eq!(distributions::get(&store, own, Channel::Sms).await.unwrap().shares, []);
    for name in ["kt", "skt", "lgu"] {
        relays::create(&store, relay(name)).await.unwrap();
    }
    let named = |shares: &[(&str, u32)]| shares.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect::<Vec<_>>();
    let default = distributions::get(&store, own, Channel::Sms).await.unwrap();
    assert_eq!((default.shares, default.set), (named(&[("kt", 34), ("skt", 33), ("lgu", 33)]), false));

    let shares = [("lgu".to_owned(), 10), ("kt".to_owned(), 70), ("skt".to_owned(), 20)];
    let put = distributions::put(&store, own, Channel::Sms, &shares).await.unwrap();
    assert_eq!((put.shares.clone(), put.set), (named(&[("kt", 70), ("skt", 20), ("lgu", 10)]), true));
    assert_eq!(distributions::get(&store, own, Channel::Sms).await.unwrap(), put);
    let by_no = store.read(move |r| distributions::load(&r.live, own, Channel::Sms)).await.unwrap();
    assert_eq!(by_no, [(0, 70), (1, 20), (2, 10)]);
    assert!(!distributions::get(&store, own, Channel::Lms).await.unwrap().set, "channels are apart");

    let bad = distributions::put(&store, own, Channel::Sms, &[("kt".to_owned(), 99)]).await.unwrap_err();
    assert_eq!(bad.kind(), Kind::Invalid("shares"));
    assert_eq!(distributions::get(&store, own, Channel::Sms).await.unwrap(), put, "a refusal changes nothing");

    let lgu = relays::by_name(&store, "lgu").await.unwrap();
    let used = relays::delete(&store, lgu.id).await.unwrap_err();
    assert_eq!(used.kind(), Kind::Conflict("distributions"));
    assert!(used.to_string().contains(&format!("{own} sms")), "{used}");
    distributions::put(&store, own, Channel::Sms, &[("kt".to_owned(), 100)]).await.unwrap();
    relays::delete(&store, lgu.id).await.unwrap();
    let gone = distributions::put(&store, own, Channel::Sms, &shares).await.unwrap_err();
    assert!(gone.to_string().contains("lgu"), "{gone}");
    let reset = distributions::reset(&store, own, Channel::Sms).await.unwrap();
    assert_eq!((reset.shares, reset.set), (named(&[("kt", 50), ("skt", 50)]), false));
    let nobody = distributions::put(&store, AccountId(1), Channel::Sms, &shares).await.unwrap_err();
    assert_eq!(nobody.kind(), Kind::NotFound);
}

#[tokio::test]
async fn the_state_of_a_distribution_is_kept() {
    let house = house();
    let store = house.store.clone();
    let own = AccountId(7);
    for state in [&[1u8, 2, 3][..], &[4]] {
        store.write(move |tx| distributions::save_state(tx.live, own, Channel::Sms, 0, state)).await.unwrap();
        let kept = store.read(move |r| distributions::load_state(&r.live, own, Channel::Sms, 0)).await.unwrap();
        assert_eq!(kept.as_deref(), Some(state));
    }
    assert_eq!(store.read(move |r| distributions::load_state(&r.live, own, Channel::Lms, 0)).await.unwrap(), None);
}

#[tokio::test]
async fn prices_have_defaults_and_can_be_set() {
    let house = house();
    let store = house.store.clone();
    let price = |unit, amount| Price { unit, amount };
    let listed = prices::list(&store).await.unwrap();
    assert_eq!(listed, [(Channel::Sms, price(Unit::PointSms, 1)), (Channel::Lms, price(Unit::PointSms, 3))]);
    prices::put(&store, Channel::Lms, price(Unit::Krw, 28_000)).await.unwrap();
    prices::put(&store, Channel::Lms, price(Unit::Krw, 27_500)).await.unwrap();
    let table = store.read(|r| prices::load(&r.live)).await.unwrap();
    assert_eq!(table.of(Channel::Sms), price(Unit::PointSms, 1));
    assert_eq!(table.of(Channel::Lms), price(Unit::Krw, 27_500));
    for amount in [-1, prices::MAX_PRICE + 1] {
        let refused = prices::put(&store, Channel::Sms, price(Unit::PointSms, amount)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid("amount"));
    }
}

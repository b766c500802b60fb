//! Signatures against the vectors of others, and what a receiver refuses.

use std::time::Duration;

use bongsu_domain::Timestamp;
use bongsu_wire::webhook::{SigningSecret, Unproven, signatures, verify};

const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// The vector of the specification's own libraries: secret, id, seconds, body, signature.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SECONDS: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

#[test]
fn the_vector_of_the_libraries_comes_out() {
    let secret = SigningSecret::parse(SECRET).expect("a secret");
    assert_eq!(secret.sign(ID, SECONDS, BODY), SIGNED);
    assert_eq!(secret.expose(), SECRET);
}

#[test]
fn a_receiver_believes_only_what_was_signed() {
    let secret = SigningSecret::parse(SECRET).expect("a secret");
    let other = SigningSecret::new(vec![7; 32]).expect("a secret");
    let now = Timestamp::from_secs(SECONDS + 200);
    let check = |secret: &SigningSecret, seconds: &str, signature: &str, body: &[u8]| {
        verify(secret, (ID, seconds, signature), body, now, FIVE_MINUTES)
    };
    let seconds = SECONDS.to_string();
    assert_eq!(check(&secret, &seconds, SIGNED, BODY), Ok(()));
    assert_eq!(check(&secret, &seconds, SIGNED, b"{}"), Err(Unproven::Signature));
    assert_eq!(check(&other, &seconds, SIGNED, BODY), Err(Unproven::Signature));
    for bad in ["", "v1", "v1,", "v1,%%%", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", &SIGNED[..30]] {
        assert_eq!(check(&secret, &seconds, bad, BODY), Err(Unproven::Signature), "{bad}");
    }
    for bad in ["", "soon", "1614265330.5", &(SECONDS - 200).to_string(), &(SECONDS + 600).to_string()] {
        assert_eq!(check(&secret, bad, SIGNED, BODY), Err(Unproven::Timestamp), "{bad}");
    }
}

#[test]
fn while_secrets_are_exchanged_each_of_them_proves_the_call() {
    let (new, old) = (SigningSecret::new(vec![1; 32]), SigningSecret::new(vec![2; 64]));
    let (new, old) = (new.expect("a secret"), old.expect("a secret"));
    let both = signatures(&[new.clone(), old.clone()], ID, SECONDS, BODY);
    assert_eq!(both.split(' ').count(), 2);
    let stranger = SigningSecret::new(vec![3; 32]).expect("a secret");
    let now = Timestamp::from_secs(SECONDS);
    let seconds = SECONDS.to_string();
    for secret in [&new, &old] {
        assert_eq!(verify(secret, (ID, &seconds, &both), BODY, now, FIVE_MINUTES), Ok(()));
    }
    let refused = verify(&stranger, (ID, &seconds, &both), BODY, now, FIVE_MINUTES);
    assert_eq!(refused, Err(Unproven::Signature));
}

#[test]
fn secrets_have_24_to_64_bytes_and_hide_themselves() {
    assert!(SigningSecret::new(vec![0; 23]).is_none() && SigningSecret::new(vec![0; 65]).is_none());
    for bad in ["", "whsec_", "whsec_%%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
        assert!(SigningSecret::parse(bad).is_none(), "{bad}");
    }
    assert_eq!(format!("{:?}", SigningSecret::parse(SECRET)), "Some(SigningSecret(***))");
}

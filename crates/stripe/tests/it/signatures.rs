use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tenantry_stripe::signature::{SignatureError, TOLERANCE, sign, verify};

const BODY: &[u8] = br#"{"id":"evt_1","object":"event"}"#;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn secrets(texts: &[&str]) -> Vec<SecretString> {
    texts.iter().map(|text| SecretString::from((*text).to_owned())).collect()
}

fn check(header: &str, texts: &[&str]) -> Result<(), SignatureError> {
    verify(BODY, header, &secrets(texts), at(1_764_000_000))
}

fn signed(secret: &str) -> String {
    sign(BODY, &secret.to_owned().into(), at(1_764_000_000))
}

#[test]
fn a_signature_is_what_others_compute() {
    // Computed with openssl: printf '1764000000.{"id":"evt_1","object":"event"}' | openssl dgst -sha256 -hmac whsec_test
    let known = "t=1764000000,v1=29eac8310303f9a1649c744ac6467c4fecfe53c7feedee304db324b9ba3a093c";
    assert_eq!(signed("whsec_test"), known);
    assert_eq!(check(known, &["whsec_test"]), Ok(()));
}

#[test]
fn either_secret_of_a_roll_will_do() {
    let (old, new) = (signed("whsec_old"), signed("whsec_new"));
    let both = format!("{old},{}", new.split_once(',').unwrap().1);
    for header in [&old, &new, &both] {
        assert_eq!(check(header, &["whsec_old", "whsec_new"]), Ok(()), "{header}");
    }
    assert_eq!(check(&both, &["whsec_new"]), Ok(()));
    assert_eq!(check(&both, &["whsec_old"]), Ok(()));
    assert_eq!(check(&old, &["whsec_new"]), Err(SignatureError::Mismatch));
}

#[test]
fn whatever_was_changed_is_seen() {
    let good = signed("whsec_a");
    let verified = |body: &[u8], header: &str| verify(body, header, &secrets(&["whsec_a"]), at(1_764_000_000));
    assert_eq!(verified(BODY, &good), Ok(()));
    assert_eq!(verified(b"{}", &good), Err(SignatureError::Mismatch));
    assert_eq!(verified(b"", &good), Err(SignatureError::Mismatch));
    assert_eq!(verified(BODY, &good.replace("t=1764000000", "t=1764000001")), Err(SignatureError::Mismatch));
    assert_eq!(verified(BODY, &good.replace("t=1764000000", "t=01764000000")), Err(SignatureError::Mismatch));
    let flipped = if good.ends_with('0') { "1" } else { "0" };
    assert_eq!(verified(BODY, &format!("{}{flipped}", &good[..good.len() - 1])), Err(SignatureError::Mismatch));
    assert_eq!(verified(BODY, &signed("WHSEC_A")), Err(SignatureError::Mismatch));
}

#[test]
fn old_and_future_ones_are_refused_to_the_second() {
    let tolerance = i64::try_from(TOLERANCE.as_secs()).unwrap();
    assert_eq!(tolerance, 300);
    let (made, secret) = (at(1_764_000_000), secrets(&["whsec_a"]));
    let header = sign(BODY, &secret[0], made);
    let after = |seconds| verify(BODY, &header, &secret, made + SignedDuration::from_secs(seconds));
    for seconds in [0, 1, -1, tolerance, -tolerance] {
        assert_eq!(after(seconds), Ok(()), "{seconds}");
    }
    assert_eq!(after(tolerance + 1), Err(SignatureError::TooOld));
    assert_eq!(after(-tolerance - 1), Err(SignatureError::TooNew));
    let far = "t=9223372036854775807,v1=".to_owned() + &"0".repeat(64);
    assert_eq!(verify(BODY, &far, &secret, made), Err(SignatureError::Mismatch));
}

#[test]
fn without_a_secret_nothing_is_believed() {
    let forged = signed("");
    assert_eq!(check(&forged, &[]), Err(SignatureError::NoSecret));
    assert_eq!(check(&forged, &[""]), Err(SignatureError::EmptySecret));
    assert_eq!(check(&forged, &["whsec_a", ""]), Err(SignatureError::EmptySecret));
    assert_eq!(check(&forged, &[" "]), Err(SignatureError::EmptySecret));
}

#[test]
fn malformed_headers_are_named() {
    let good = signed("whsec_a");
    let (time, signature) = good.split_once(',').unwrap();
    let many = format!("{time}{}", format!(",{signature}").repeat(17));
    for (header, why) in [
        (String::new(), SignatureError::BadPart),
        ("nonsense".to_owned(), SignatureError::BadPart),
        (format!("{good},"), SignatureError::BadPart),
        (signature.to_owned(), SignatureError::NoTime),
        (format!("t=,{signature}"), SignatureError::NoTime),
        (format!("t=-1764000000,{signature}"), SignatureError::NoTime),
        (format!("t=+1764000000,{signature}"), SignatureError::NoTime),
        (format!("t=1e9,{signature}"), SignatureError::NoTime),
        (format!("t=99999999999999999999,{signature}"), SignatureError::NoTime),
        (format!("{time},{time},{signature}"), SignatureError::TwoTimes),
        (time.to_owned(), SignatureError::NoSignature),
        (good.replace("v1=", "v0="), SignatureError::NoSignature),
        (good.replace("v1=", "V1="), SignatureError::NoSignature),
        (format!("{time},v1="), SignatureError::BadSignature),
        (good[..good.len() - 1].to_owned(), SignatureError::BadSignature),
        (format!("{good}0"), SignatureError::BadSignature),
        (format!("{time},v1={}", "g".repeat(64)), SignatureError::BadSignature),
        (format!("{time},v1={}", "+0".repeat(32)), SignatureError::BadSignature),
        (format!("{time},v1={}", "\u{e9}".repeat(32)), SignatureError::BadSignature),
        (many, SignatureError::TooMany),
    ] {
        assert_eq!(check(&header, &["whsec_a"]), Err(why), "{header}");
    }
    let (upper, spaced) =
        (good.replace(signature, &signature.to_uppercase().replace("V1", "v1")), good.replace(',', ", "));
    for header in [upper, spaced, format!("{good},v0=abc,v2=x=y")] {
        assert_eq!(check(&header, &["whsec_a"]), Ok(()), "{header}");
    }
}

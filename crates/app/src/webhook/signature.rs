//! Signatures by the Standard Webhooks specification 1.0: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// What secrets begin with.
const SECRET_PREFIX: &str = "whsec_";

/// A secret that is not one.
#[derive(Debug, thiserror::Error)]
#[error("the signing secret is not of the form whsec_<base64>")]
pub(super) struct BadSecret;

/// The value of `webhook-signature`: `v1,<base64>`.
///
/// # Errors
/// [`BadSecret`] if the secret cannot be read.
pub(super) fn sign(
    secret: &SecretString,
    id: &str,
    at: DateTime<Utc>,
    body: &str,
) -> Result<String, BadSecret> {
    let encoded = secret.expose_secret();
    let encoded = encoded.strip_prefix(SECRET_PREFIX).unwrap_or(encoded);
    let key = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| BadSecret)?;
    mac.update(format!("{id}.{}.{body}", at.timestamp()).as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_that_of_the_specifications_example() {
        // The example of the specification's own libraries.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let signed = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn unreadable_secret_is_refused() {
        let at = DateTime::from_timestamp(0, 0).unwrap();
        assert!(sign(&SecretString::from("whsec_%%%".to_owned()), "id", at, "{}").is_err());
    }
}

//! Random secrets that are handed out as text and kept only as their SHA-256.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// Bytes of randomness in a secret: nobody guesses 256 bits, so a fast hash is enough to keep it by.
pub(super) const SECRET_BYTES: usize = 32;
/// Letters of the text: 62 to the power of 43 is more than 2 to the power of 256.
const TEXT_CHARS: usize = 43;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The machine gave no randomness. It happens in broken sandboxes only.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this machine gives no random numbers")]
pub(crate) struct NoRandomness;

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::of(domain::error::ErrorKind::Setup, &error)
    }
}

/// Random bytes of the operating system.
///
/// # Errors
/// [`NoRandomness`] if it has none.
pub(super) fn random_bytes() -> Result<[u8; SECRET_BYTES], NoRandomness> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A secret that is shown once.
pub(crate) struct SecretToken(SecretString);

impl SecretToken {
    /// A new secret: `prefix`, which tells people and scanners what it is, and 43 random letters and digits.
    ///
    /// # Errors
    /// [`NoRandomness`] if the machine has none.
    pub(crate) fn generate(prefix: &str) -> Result<Self, NoRandomness> {
        Ok(Self(format!("{prefix}{}", base62(&random_bytes()?)).into()))
    }

    /// A secret that was kept as it is.
    pub(super) fn from_bytes(kept: &[u8]) -> Option<Self> {
        std::str::from_utf8(kept).ok().map(|kept| Self(kept.into()))
    }

    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is kept of it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        digest(self.expose())
    }
}

impl fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretToken")
    }
}

/// The SHA-256 by which a secret is kept and found.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A number of 256 bits, the most significant byte first, in base 62 with leading zeros.
fn base62(bytes: &[u8; SECRET_BYTES]) -> String {
    let mut number = *bytes;
    let mut letters = [b'0'; TEXT_CHARS];
    for letter in letters.iter_mut().rev() {
        let mut rest: u32 = 0;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *letter = ALPHABET.get(rest as usize).copied().unwrap_or(b'0');
    }
    letters.iter().map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_one_length_and_are_never_the_same() {
        let (one, other) = (
            SecretToken::generate("cw_").unwrap(),
            SecretToken::generate("cw_").unwrap(),
        );
        assert_eq!(one.expose().len(), 3 + TEXT_CHARS);
        assert_ne!(one.expose(), other.expose());
        assert!(
            one.expose()[3..]
                .bytes()
                .all(|letter| letter.is_ascii_alphanumeric())
        );
        assert!(!format!("{one:?}").contains("cw_"));
    }

    #[test]
    fn numbers_are_written_in_base_62() {
        let mut number = [0; SECRET_BYTES];
        assert_eq!(base62(&number), "0".repeat(TEXT_CHARS));
        // 61 and 62 * 62 + 1.
        number[31] = 61;
        assert!(base62(&number).ends_with("0z"));
        number[30..].copy_from_slice(&3845_u16.to_be_bytes());
        assert!(base62(&number).ends_with("0101"));
        assert!(base62(&[u8::MAX; SECRET_BYTES]).chars().next().unwrap() > '0');
    }
}

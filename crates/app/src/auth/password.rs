//! Passwords: hashed with Argon2id, away from the threads that serve requests.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use domain::error::InvalidInput;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OnceCell, Semaphore};

use super::secret_token::SecretToken;

/// Memory of one hash in KiB, passes and lanes: the first choice of OWASP's Password Storage Cheat Sheet for
/// Argon2id (19 MiB, 2, 1).
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at once: more would take memory and make each other slow.
const HASHES_AT_ONCE: usize = 4;
/// Characters of a password: at least 12 (OWASP ASVS 2.1.1), at most 128 (2.1.2).
pub(crate) const LEAST_CHARS: usize = 12;
pub(crate) const MOST_CHARS: usize = 128;

/// The hash could not be computed: no memory, no randomness, or a stored hash that is none.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub(crate) struct HashError(String);

/// Hashes and compares passwords.
pub(crate) struct Passwords {
    slots: Arc<Semaphore>,
    /// The hash of a password that nobody knows: an unknown address takes the same time as a wrong password.
    nobodys: OnceCell<String>,
}

impl Passwords {
    /// Ready to hash.
    pub(crate) fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            nobodys: OnceCell::new(),
        }
    }

    /// A hash in PHC format, with its own salt and its parameters.
    ///
    /// # Errors
    /// [`HashError`] if the machine lacks memory or randomness.
    pub(crate) async fn hash(&self, password: &SecretString) -> Result<String, HashError> {
        let password = password.clone();
        self.apart(move || {
            argon2()?
                .hash_password(password.expose_secret().as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|error| HashError(error.to_string()))
        })
        .await
    }

    /// Whether `password` is the one with this hash. Without a hash it never is, and takes as long.
    ///
    /// # Errors
    /// [`HashError`] if it cannot be computed.
    pub(crate) async fn is_right(
        &self,
        password: &SecretString,
        hash: Option<&str>,
    ) -> Result<bool, HashError> {
        let stored = match hash {
            Some(hash) => hash.to_owned(),
            None => self.nobodys().await?,
        };
        let password = password.clone();
        let fits = self
            .apart(move || {
                match argon2()?.verify_password(password.expose_secret().as_bytes(), stored.as_str()) {
                    Ok(()) => Ok(true),
                    Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                    Err(error) => Err(HashError(error.to_string())),
                }
            })
            .await?;
        Ok(fits && hash.is_some())
    }

    async fn nobodys(&self) -> Result<String, HashError> {
        let hash = self.nobodys.get_or_try_init(async || {
            let unknown = SecretToken::generate("").map_err(|error| HashError(error.to_string()))?;
            self.hash(&SecretString::from(unknown.expose())).await
        });
        hash.await.cloned()
    }

    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|error| HashError(error.to_string()))?;
        let ended = tokio::task::spawn_blocking(move || {
            // The slot is held until the memory is free, even if the request has gone.
            let _slot = slot;
            work()
        });
        ended.await.map_err(|error| HashError(error.to_string()))?
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

fn argon2() -> Result<Argon2<'static>, HashError> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| HashError(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Whether a new password is acceptable.
///
/// # Errors
/// [`InvalidInput`] on `password` with the limit; the password itself is never told.
pub(crate) fn check_password(password: &SecretString) -> Result<(), InvalidInput> {
    let chars = password.expose_secret().chars().count();
    if (LEAST_CHARS..=MOST_CHARS).contains(&chars) {
        return Ok(());
    }
    Err(InvalidInput::new(
        "password",
        format!("must have {LEAST_CHARS} to {MOST_CHARS} characters, not {chars}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_are_hashed_as_owasp_says() {
        let passwords = Passwords::new();
        let right = SecretString::from("correct horse battery");
        let hash = passwords.hash(&right).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(
            hash,
            passwords.hash(&right).await.unwrap(),
            "each has its own salt"
        );
        assert!(passwords.is_right(&right, Some(&hash)).await.unwrap());
        let wrong = SecretString::from("correct horse batterz");
        assert!(!passwords.is_right(&wrong, Some(&hash)).await.unwrap());
        assert!(!passwords.is_right(&right, None).await.unwrap());
        assert!(passwords.is_right(&right, Some("no hash")).await.is_err());
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        let check = |text: String| check_password(&SecretString::from(text)).is_ok();
        assert!(!check("x".repeat(11)));
        assert!(check("ё".repeat(12)));
        assert!(check("x".repeat(128)));
        assert!(!check("x".repeat(129)));
    }
}

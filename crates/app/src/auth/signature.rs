//! The cryptography of tokens: the same library that TLS uses, and only the four algorithms that can be configured.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::{hmac, signature};

/// Keys are taken from parameters here, never from DER, so the functions that would take DER apart are absent.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes this the cryptography of every token in the process. Called before the first token; again is harmless.
pub(super) fn install() {
    // Err means that it is installed already.
    let _ = PROVIDER.install_default();
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's type of function")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match algorithm {
        // Only own tokens are signed.
        Algorithm::HS256 if key.family() == AlgorithmFamily::Hmac => {
            Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))))
        }
        _ => Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's type of function")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if algorithm.family() != key.family() {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    Ok(match algorithm {
        Algorithm::HS256 => Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?))),
        Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA => Box::new(PublicKey {
            algorithm: *algorithm,
            key: key.clone(),
        }),
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    })
}

struct Hs256(hmac::Key);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        // Takes the same time for every wrong tag.
        hmac::verify(&self.0, message, tag).map_err(|_| SignatureError::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct PublicKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        let verified = match (self.algorithm, self.key.kind()) {
            // RFC 7518, 3.3: 2048 bits at least.
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let components = signature::RsaPublicKeyComponents {
                    n: without_leading_zeros(n),
                    e: without_leading_zeros(e),
                };
                components.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, given)
            }
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, given)
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, point).verify(message, given)
            }
            _ => return Err(SignatureError::new()),
        };
        verified.map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Some issuers write the sign byte of the number, which the library refuses.
fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

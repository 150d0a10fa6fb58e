//! Keys of identity providers, for tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

/// A key that signs tokens.
pub(super) enum TestKey {
    Hs256(Vec<u8>),
    Rs256(Box<RsaKeyPair>),
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Ed25519KeyPair),
}

impl TestKey {
    pub(super) fn rs256() -> Self {
        let key = RsaKeyPair::from_pkcs8(include_bytes!("rsa_2048_of_tests.pk8")).unwrap();
        Self::Rs256(Box::new(key))
    }

    pub(super) fn es256() -> Self {
        let (random, scheme) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
        Self::Es256(Box::new(
            EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).unwrap(),
        ))
    }

    pub(super) fn ed_dsa() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// The public key as a provider publishes it.
    pub(super) fn jwk(&self, id: &str) -> Value {
        let mut jwk = match self {
            Self::Hs256(secret) => json!({"kty": "oct", "k": part(secret)}),
            Self::Rs256(key) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "n": part(&public.n), "e": part(&public.e)})
            }
            Self::Es256(key) => {
                let point = &key.public_key().as_ref()[1..];
                json!({"kty": "EC", "crv": "P-256", "x": part(&point[..32]), "y": part(&point[32..])})
            }
            Self::EdDsa(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": part(key.public_key().as_ref())}),
        };
        jwk["kid"] = id.into();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.name().into();
        jwk
    }

    /// A token with these claims.
    pub(super) fn sign(&self, id: Option<&str>, claims: &Value) -> String {
        let mut header = json!({"alg": self.name(), "typ": "JWT"});
        if let Some(id) = id {
            header["kid"] = id.into();
        }
        self.sign_with(&header, claims)
    }

    /// A token with this header, whatever it says.
    pub(super) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            part(header.to_string().as_bytes()),
            part(claims.to_string().as_bytes())
        );
        let signature = match self {
            Self::Hs256(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let random = SystemRandom::new();
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
            Self::Es256(key) => {
                let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
                signature.as_ref().to_vec()
            }
            Self::EdDsa(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", part(&signature))
    }
}

/// A part of a token.
pub(super) fn part(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

//! Qdrant over its HTTP interface (1.10 and newer). One collection a model, one point a chunk.

use std::time::Duration;

use async_trait::async_trait;
use domain::id::ChunkId;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use url::Url;

use super::{IndexedContent, VectorIndex};
use crate::error::ProviderError;
use crate::http_client::http_client;

/// What our collections begin with: others may live on the same server.
const PREFIX: &str = "coursewright_";
/// Points in one request: of 1024 numbers, about 2 MB of JSON.
const POINTS_PER_REQUEST: usize = 200;
/// Searching takes milliseconds, writing seconds; silence for this long is a failure.
const PATIENCE: Duration = Duration::from_secs(30);
/// So much of an answer that refuses is repeated.
const REASON_CHARACTERS: usize = 300;

/// A Qdrant server.
#[derive(Debug)]
pub struct Qdrant {
    base_url: Url,
    client: reqwest::Client,
    headers: HeaderMap,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: T,
}

#[derive(Deserialize)]
struct Found {
    points: Vec<FoundPoint>,
}

#[derive(Deserialize)]
struct FoundPoint {
    id: String,
}

#[derive(Deserialize)]
struct Collections {
    collections: Vec<Collection>,
}

#[derive(Deserialize)]
struct Collection {
    name: String,
}

impl Qdrant {
    /// A client of the server at `base_url`.
    ///
    /// # Errors
    /// [`ProviderError::Setup`] if the key is no header or TLS cannot be set up.
    pub fn new(base_url: Url, api_key: Option<&SecretString>) -> Result<Self, ProviderError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = api_key {
            let mut value = HeaderValue::from_str(key.expose_secret().trim())
                .map_err(|_| ProviderError::Setup("the key of Qdrant cannot be sent".to_owned()))?;
            value.set_sensitive(true);
            headers.insert("api-key", value);
        }
        Ok(Self {
            base_url,
            client: http_client()?,
            headers,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, String), ProviderError> {
        let base = self.base_url.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}/{path}"))
            .map_err(|error| ProviderError::Setup(format!("the address of Qdrant is wrong: {error}")))?;
        let mut request = self.client.request(method, url).headers(self.headers.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let sent = async {
            let response = request.send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        };
        timeout(PATIENCE, sent)
            .await
            .map_err(|_| ProviderError::Timeout { after: PATIENCE })?
            .map_err(|error| ProviderError::Connect {
                endpoint: base.to_owned(),
                reason: error.without_url().to_string(),
            })
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String, ProviderError> {
        let (status, text) = self.send(method, path, body).await?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(refusal(status, &text))
        }
    }

    /// Makes the collection of a model, if it is not there.
    async fn ensure(&self, collection: &str, dimensions: usize) -> Result<(), ProviderError> {
        let path = format!("collections/{collection}");
        let (status, text) = self.send(Method::GET, &path, None).await?;
        if status.is_success() {
            return Ok(());
        }
        if status != StatusCode::NOT_FOUND {
            return Err(refusal(status, &text));
        }
        let made = json!({ "vectors": { "size": dimensions, "distance": "Cosine" } });
        let (status, text) = self.send(Method::PUT, &path, Some(&made)).await?;
        // Another process may have made it meanwhile.
        if !status.is_success() && status != StatusCode::CONFLICT {
            return Err(refusal(status, &text));
        }
        for field in ["organization_id", "sha256"] {
            let index = json!({ "field_name": field, "field_schema": "keyword" });
            self.ask(Method::PUT, &format!("{path}/index?wait=true"), Some(&index))
                .await?;
        }
        Ok(())
    }

    /// The collection that vectors of this model are in.
    fn collection(model: &str) -> String {
        let digest = hex::encode(&Sha256::digest(model)[..8]);
        format!("{PREFIX}{digest}")
    }
}

#[async_trait]
impl VectorIndex for Qdrant {
    fn name(&self, model: &str) -> String {
        let place = hex::encode(&Sha256::digest(self.base_url.as_str())[..8]);
        format!("qdrant:{place}:{}", Self::collection(model))
    }

    async fn put(
        &self,
        model: &str,
        content: &IndexedContent,
        vectors: &[(ChunkId, Vec<f32>)],
    ) -> Result<(), ProviderError> {
        let Some((_, first)) = vectors.first() else {
            return Ok(());
        };
        let collection = Self::collection(model);
        self.ensure(&collection, first.len()).await?;
        for batch in vectors.chunks(POINTS_PER_REQUEST) {
            let points: Vec<Value> = batch
                .iter()
                .map(|(id, vector)| {
                    json!({
                        "id": id,
                        "vector": vector,
                        "payload": { "organization_id": content.organization_id, "sha256": content.sha256 },
                    })
                })
                .collect();
            let path = format!("collections/{collection}/points?wait=true");
            self.ask(Method::PUT, &path, Some(&json!({ "points": points })))
                .await?;
        }
        Ok(())
    }

    async fn search(
        &self,
        model: &str,
        contents: &[IndexedContent],
        question: &[f32],
        limit: usize,
    ) -> Result<Vec<ChunkId>, ProviderError> {
        let Some(first) = contents.first() else {
            return Ok(Vec::new());
        };
        // A course is of one organization.
        let hashes: Vec<&str> = contents.iter().map(|content| content.sha256.as_str()).collect();
        let body = json!({
            "query": question,
            "filter": { "must": [
                { "key": "organization_id", "match": { "value": first.organization_id } },
                { "key": "sha256", "match": { "any": hashes } },
            ] },
            "limit": limit,
            "with_payload": false,
        });
        let path = format!("collections/{}/points/query", Self::collection(model));
        let text = self.ask(Method::POST, &path, Some(&body)).await?;
        let found: Answer<Found> = parsed(&text)?;
        found
            .result
            .points
            .iter()
            .map(|point| point.id.parse())
            .collect::<Result<_, _>>()
            .map_err(|error| ProviderError::BrokenStream {
                reason: format!("a point of Qdrant has an id that is not ours: {error}"),
            })
    }

    async fn remove(&self, content: &IndexedContent) -> Result<(), ProviderError> {
        let listed: Answer<Collections> = parsed(&self.ask(Method::GET, "collections", None).await?)?;
        let body = json!({ "filter": { "must": [
            { "key": "organization_id", "match": { "value": content.organization_id } },
            { "key": "sha256", "match": { "value": content.sha256 } },
        ] } });
        for collection in listed.result.collections {
            if collection.name.starts_with(PREFIX) {
                let path = format!("collections/{}/points/delete?wait=true", collection.name);
                self.ask(Method::POST, &path, Some(&body)).await?;
            }
        }
        Ok(())
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, ProviderError> {
    serde_json::from_str(text).map_err(|error| ProviderError::BrokenStream {
        reason: format!("not what Qdrant answers: {error}"),
    })
}

fn refusal(status: StatusCode, text: &str) -> ProviderError {
    let message: String = text.chars().take(REASON_CHARACTERS).collect();
    let status = status.as_u16();
    match status {
        401 | 403 => ProviderError::Unauthorized { status, message },
        429 => ProviderError::RateLimited {
            retry_after: None,
            message,
        },
        500.. => ProviderError::Server {
            status,
            message,
            retry_after: None,
        },
        _ => ProviderError::Rejected { status, message },
    }
}

#[cfg(test)]
mod tests {
    use domain::id::OrganizationId;
    use wiremock::matchers::{body_partial_json, header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn client(server: &MockServer) -> Qdrant {
        let url = Url::parse(&server.uri()).unwrap();
        Qdrant::new(url, Some(&SecretString::from("secret"))).unwrap()
    }

    fn content() -> IndexedContent {
        IndexedContent {
            organization_id: OrganizationId::generate(),
            sha256: "ab".repeat(32),
        }
    }

    #[tokio::test]
    async fn the_first_vectors_make_the_collection() {
        let server = MockServer::start().await;
        let collection = format!("/collections/{}", Qdrant::collection("m"));
        let answer = |status: u16| ResponseTemplate::new(status).set_body_json(json!({ "result": true }));
        Mock::given(method("GET"))
            .and(path(&collection))
            .respond_with(answer(404))
            .expect(1)
            .mount(&server)
            .await;
        Mock::given(method("PUT"))
            .and(path(&collection))
            .and(body_partial_json(
                json!({ "vectors": { "size": 2, "distance": "Cosine" } }),
            ))
            .respond_with(answer(200))
            .expect(1)
            .mount(&server)
            .await;
        Mock::given(method("PUT"))
            .and(path(format!("{collection}/index")))
            .respond_with(answer(200))
            .expect(2)
            .mount(&server)
            .await;
        let (content, id) = (content(), ChunkId::generate());
        let point = json!({ "points": [{
            "id": id, "vector": [1.0, 0.0],
            "payload": { "organization_id": content.organization_id, "sha256": content.sha256 },
        }] });
        Mock::given(method("PUT"))
            .and(path(format!("{collection}/points")))
            .and(header("api-key", "secret"))
            .and(body_partial_json(point))
            .respond_with(answer(200))
            .expect(1)
            .mount(&server)
            .await;
        client(&server)
            .put("m", &content, &[(id, vec![1.0, 0.0])])
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn searches_name_the_organization_and_its_contents() {
        let server = MockServer::start().await;
        let (content, id) = (content(), ChunkId::generate());
        let filter = json!({ "limit": 5, "filter": { "must": [
            { "key": "organization_id", "match": { "value": content.organization_id } },
            { "key": "sha256", "match": { "any": [content.sha256] } },
        ] } });
        Mock::given(method("POST"))
            .and(path(format!("/collections/{}/points/query", Qdrant::collection("m"))))
            .and(body_partial_json(filter))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({
                "result": { "points": [{ "id": id, "version": 1, "score": 0.9 }] }, "status": "ok", "time": 0.1,
            })))
            .mount(&server)
            .await;
        let found = client(&server).search("m", &[content], &[1.0, 0.0], 5).await;
        assert_eq!(found.unwrap(), [id]);
    }

    #[tokio::test]
    async fn what_is_removed_is_removed_from_our_collections_alone() {
        let server = MockServer::start().await;
        let ours = Qdrant::collection("m");
        Mock::given(method("GET"))
            .and(path("/collections"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({
                "result": { "collections": [{ "name": ours }, { "name": "theirs" }] },
            })))
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .and(path(format!("/collections/{ours}/points/delete")))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "result": true })))
            .expect(1)
            .mount(&server)
            .await;
        client(&server).remove(&content()).await.unwrap();
    }

    #[tokio::test]
    async fn a_wrong_key_is_said_and_not_tried_again() {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(401).set_body_string("Must provide an API key"))
            .mount(&server)
            .await;
        let refused = client(&server)
            .search("m", &[content()], &[1.0], 5)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, ProviderError::Unauthorized { status: 401, .. }),
            "{refused}"
        );
        assert!(!refused.is_transient());
    }

    #[test]
    fn every_model_and_server_is_another_index() {
        let one = Qdrant::new(Url::parse("http://one:6333").unwrap(), None).unwrap();
        let other = Qdrant::new(Url::parse("http://other:6333").unwrap(), None).unwrap();
        assert_ne!(one.name("m"), one.name("n"));
        assert_ne!(one.name("m"), other.name("m"));
        assert!(one.name("m").starts_with("qdrant:"));
    }
}

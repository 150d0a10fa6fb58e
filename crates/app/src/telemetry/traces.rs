//! Traces for OpenTelemetry: sent only where an endpoint is set.

use std::time::Duration;

use llm::http_client::ensure_tls;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The name under which traces are found.
const SERVICE: &str = "coursewright";

/// Sends traces until it is closed.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// Traces that nobody wants.
    pub(super) const fn unwanted() -> Self {
        Self { provider: None }
    }

    /// Begins to send to `endpoint`, the base URL of a collector that speaks OTLP over HTTP.
    ///
    /// # Errors
    /// A sentence if the endpoint cannot be used.
    pub(super) fn start(endpoint: &str) -> Result<(Self, SdkTracer), String> {
        ensure_tls();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: {error}"))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name(SERVICE).build())
            .build();
        let tracer = provider.tracer(SERVICE);
        Ok((
            Self {
                provider: Some(provider),
            },
            tracer,
        ))
    }

    /// Sends what is left. It blocks, so it has a thread of its own.
    pub(crate) async fn close(self) {
        let Some(provider) = self.provider else { return };
        let closed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

//! A script behind a real socket: a small server that speaks the OpenAI protocol, streaming included.

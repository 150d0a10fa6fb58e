//! Plausible answers for any JSON Schema, in English or Russian.

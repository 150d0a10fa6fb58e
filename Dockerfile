# Builds the program, then runs it as a user of its own. DATABASE_URL names the PostgreSQL to use.
#   docker build -t coursewright .
#   docker run -p 8080:8080 -e DATABASE_URL=postgres://... -v coursewright:/var/lib/coursewright coursewright
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The shipped program runs on every x86-64 processor with AVX2 (.cargo/config.toml).
RUN cargo build --release --locked -p coursewright

FROM debian:bookworm-slim
RUN apt-get update \
    # Tesseract and Poppler read images and scanned pages.
    && apt-get install -y --no-install-recommends ca-certificates curl python3 python3-pip \
        poppler-utils tesseract-ocr tesseract-ocr-rus \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/coursewright --create-home coursewright
COPY --from=build /build/target/release/coursewright /usr/local/bin/coursewright
USER coursewright
ENV COURSEWRIGHT_DATA_DIR=/var/lib/coursewright \
    COURSEWRIGHT_SERVER__BIND=0.0.0.0:8080 \
    LOG_FORMAT=json
VOLUME /var/lib/coursewright
EXPOSE 8080
# Longer than the 25 s that a worker may take to hand its jobs back.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD curl --fail --silent http://127.0.0.1:8080/readyz
ENTRYPOINT ["coursewright"]
CMD ["serve"]

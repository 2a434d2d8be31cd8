# changeover as a small image: the program, nothing else of the build.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev cmake && rm -rf /var/lib/apt/lists/*
# Dependencies first: they are built again only when the lock file changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches && echo '//! Stand-in.' > src/lib.rs && echo 'fn main() {}' > src/main.rs \
 && sed -e '/^\[\[bench\]\]/,/^$/d' -e '/^\[\[test\]\]/,/^$/d' -i Cargo.toml \
 && cargo build --release --locked && rm -rf src
COPY . .
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/* \
 && useradd --system --home-dir /var/lib/changeover --create-home --uid 10001 changeover \
 && mkdir -p /var/lib/changeover/data && chown -R changeover /var/lib/changeover
COPY --from=build /src/target/release/changeover /usr/local/bin/changeover
USER changeover
WORKDIR /var/lib/changeover
EXPOSE 8080 8081 1883 8083
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
  CMD curl -fsS http://127.0.0.1:8081/readyz || exit 1
ENTRYPOINT ["changeover"]
CMD ["serve", "--config", "/etc/changeover/changeover.toml"]

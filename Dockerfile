# The image: the binary on a base without shell or package manager. Both bases are Debian 12, so that the C library is the same;
# everything else (OpenSSL, librdkafka) is linked in. It runs as uid 65532 and writes only below /var/lib/waitbridge.
#
#   docker build --build-arg WAITBRIDGE_REVISION="$(git rev-parse --short HEAD)" -t waitbridge .

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
# librdkafka brings symbols that only a debugger of it wants.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo

# The dependencies alone, with an empty program: this layer lasts until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches tests/it tests/control \
    && touch src/lib.rs \
    && for main in src/main.rs benches/pipeline.rs benches/delivery.rs benches/journal.rs benches/fleet.rs benches/compare.rs tests/it/main.rs tests/control/checkpoint_outside.rs; do echo 'fn main() {}' >"$main"; done \
    && cargo build --release --locked --bin waitbridge

# What the program is made of, with the samples that `send` has in it; the files may be older than the empty one, which cargo must not take for them.
COPY src src
COPY tests/samples tests/samples
ARG WAITBRIDGE_REVISION=unknown
ENV WAITBRIDGE_REVISION=$WAITBRIDGE_REVISION
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin waitbridge \
    && mkdir /journal

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/waitbridge /usr/local/bin/waitbridge
# A volume that is mounted here takes this owner with it.
COPY --from=build --chown=65532:65532 /journal /var/lib/waitbridge
USER 65532:65532
EXPOSE 8080 9464
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/usr/local/bin/waitbridge", "health"]
ENTRYPOINT ["/usr/local/bin/waitbridge"]
CMD ["serve"]

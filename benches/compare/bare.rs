//! What ours is held against: four servers on actix that do ever more of what a webhook needs, each as fast as we could make it.
//!
//! ```text
//! body     reads the body
//! verify   … and checks its signature
//! append   … and appends it to a file and syncs, many at once (`log`)
//! kafka    checks the signature and waits for Kafka's delivery report: no journal
//! ```
//! None of them knows repeats, order, envelopes, limits, metrics or a restart.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use sha2::Sha256;
use tokio::sync::oneshot;

use crate::bridge::{PUBLIC_URL, SECRET};
use crate::log::Log;
use crate::visit;

/// What is done with a body.
enum Work {
    Body,
    Verify(Hmac<Sha256>),
    Append(Hmac<Sha256>, Log),
    Kafka(Hmac<Sha256>, Kafka),
}

struct Kafka {
    producer: ThreadedProducer<Reports>,
    topic: String,
}

/// Hands each delivery report to the request that waits for it.
struct Reports;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<bool>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let _ = waiting.send(result.is_ok());
    }
}

/// Serves until it is killed; `arguments`: which work, for `append` the file, for `kafka` the brokers and the topic.
pub fn serve(arguments: &[String]) {
    let argument = |at: usize| arguments.get(at).expect("an argument").clone();
    let signed = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do").chain_update(PUBLIC_URL);
    let work = match arguments[0].as_str() {
        "body" => Work::Body,
        "verify" => Work::Verify(signed),
        "append" => Work::Append(signed, Log::create(argument(1).as_ref())),
        _ => Work::Kafka(signed, Kafka { producer: producer(&argument(1)), topic: argument(2) }),
    };
    let work = web::Data::from(Arc::new(work));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || App::new().app_data(work.clone()).default_service(web::to(answer))).workers(1);
        let server = server.listen(listener).expect("it listens").run();
        println!("serves {address}");
        server.await.expect("it serves");
    });
}

fn producer(brokers: &str) -> ThreadedProducer<Reports> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "0").set("acks", "all").set("enable.idempotence", "true");
    config.set("partitioner", "murmur2_random").create_with_context(Reports).expect("a producer")
}

async fn answer(request: HttpRequest, body: web::Bytes, work: web::Data<Work>) -> HttpResponse {
    let accepted = match &**work {
        Work::Body => true,
        Work::Verify(signed) => is_genuine(signed, &request, &body),
        Work::Append(signed, log) => is_genuine(signed, &request, &body) && log.append(body).await.is_ok(),
        Work::Kafka(signed, kafka) => is_genuine(signed, &request, &body) && kafka.send(&body).await,
    };
    let status = if accepted { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    HttpResponse::build(status).content_type("application/json").body("{\"id\":\"0192f0c4-5a70-7000-8000-000000000000\"}")
}

fn is_genuine(signed: &Hmac<Sha256>, request: &HttpRequest, body: &[u8]) -> bool {
    let shown = request.headers().get("x-waitwhile-signature").map_or(&b""[..], |value| value.as_bytes());
    BASE64_STANDARD.decode(shown).is_ok_and(|shown| signed.clone().chain_update(body).verify_slice(&shown).is_ok())
}

impl Kafka {
    /// The customer is the key, as in ours.
    async fn send(&self, body: &[u8]) -> bool {
        let (tell, told) = oneshot::channel();
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(tell)).key(visit::customer(body)).payload(body);
        self.producer.send(record).is_ok() && told.await == Ok(true)
    }
}

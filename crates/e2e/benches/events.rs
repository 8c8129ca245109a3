//! Benchmark of the cost of events for a registration: without a broker, with one, and with one that
//! is away. The password hash is as cheap as possible, because it would hide all other costs. Part of
//! `just bench`.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use e2e::{
    Stack, System,
    compare::{Candidate, compare},
    measure::{drive, print, wanted},
    stack::BROKER,
};
use events::Broker;
use proto::user::v1::{CreateUserRequest, user_service_client::UserServiceClient};
use tonic::transport::Channel;
use uuid::Uuid;

const CALLERS: usize = 16;
const ROUNDS: usize = 30;
const ROUND: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if wanted()?.is_none() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let backends = Stack::start(folder.path(), &[BROKER]).await?;
    let mock = Broker::start(6)?;
    let (name, brokers) = if Stack::missing(&[BROKER]).is_empty() {
        ("on, Kafka", backends.broker())
    } else {
        ("on, a mock of Kafka", mock.address().to_string())
    };
    let mut candidates = Vec::new();
    let mut clients = HashMap::new();
    for (name, brokers) in [
        ("off", ""),
        ("off again", ""),
        (name, brokers.as_str()),
        ("on, broker away", "127.0.0.1:1"),
    ] {
        let system = System::start(&[
            ("KAFKA_BROKERS", brokers),
            ("HASH_MEMORY_KIB", "8"),
            ("HASH_ITERATIONS", "1"),
            ("OTEL_SDK_DISABLED", "true"),
        ])
        .await?;
        let channel = Channel::from_shared(format!("http://{}", system.user_address))?
            .tcp_nodelay(true)
            .connect()
            .await?;
        clients.insert(system.user_address, UserServiceClient::new(channel));
        candidates.push(Candidate::new(name, system));
    }
    let register = async |system: &System| {
        let client = clients.get(&system.user_address).context("nobody")?.clone();
        drive(CALLERS, ROUND, move |_, _| {
            let mut client = client.clone();
            let request = CreateUserRequest {
                email: format!("{}@example.com", Uuid::now_v7()),
                password: "correct horse battery".to_owned(),
                ..CreateUserRequest::default()
            };
            async move { client.create_user(request).await.map(drop) }
        })
        .await
    };
    print(&compare("events", &mut candidates, ROUNDS, register).await?)
}

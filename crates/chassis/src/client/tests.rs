//! Tests with real servers: one that is killed, frozen, busy, added, removed or restarted under load.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future, io,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http::uri::PathAndQuery;
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tonic::{
    Code, Status, client::Grpc, server::NamedService, service::Routes,
    transport::server::TcpConnectInfo,
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::{
    attempts::RETRIES,
    pool::{Found, Lookup},
    *,
};
use crate::server::{self, Contract};

const METHODS: &[&str] = &["x.v1.X/Do"];

/// Longer than a call that goes round a failed server takes.
const DEADLINE: Duration = Duration::from_secs(2);

/// What a server does with a call, after it was counted.
#[derive(Clone, Copy, Debug)]
enum Conduct {
    Answers,
    AnswersAfter(Duration),
    Hangs,
    IsUnavailable,
    IsUnavailableForGood,
}

/// A server with one method and health checks.
struct Server {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    /// The addresses of the clients' connections.
    peers: Arc<Mutex<BTreeSet<SocketAddr>>>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

#[derive(Clone)]
struct Method {
    conduct: Conduct,
    calls: Arc<AtomicUsize>,
    peers: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

/// How a server treats old connections, and its stop.
#[derive(Clone, Copy, Debug)]
struct Ends {
    age: Duration,
    lame_duck: Duration,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(300),
            lame_duck: Duration::ZERO,
        }
    }
}

impl Server {
    async fn start(conduct: Conduct) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), conduct).await
    }

    async fn start_at(address: SocketAddr, conduct: Conduct) -> Self {
        Self::start_with(address, conduct, Ends::default()).await
    }

    async fn start_with(address: SocketAddr, conduct: Conduct, ends: Ends) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let method = Method {
            conduct,
            calls: Arc::default(),
            peers: Arc::default(),
        };
        let (calls, peers) = (Arc::clone(&method.calls), Arc::clone(&method.peers));
        let contract = Contract {
            service: Method::NAME,
            methods: METHODS,
            descriptors: &[],
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            let Ends { age, lame_duck } = ends;
            let routes = Routes::new(method);
            server::serve_within(age, contract, routes, listener, lame_duck, stopped)
                .await
                .unwrap();
        });
        Self {
            address,
            calls,
            peers,
            stop,
            served,
        }
    }

    /// A server in a runtime of its own. A shutdown of the runtime ends all connections at once, as SIGKILL does.
    fn start_in(runtime: &Runtime) -> Self {
        std::thread::scope(|scope| {
            let start = scope.spawn(|| runtime.block_on(Self::start(Conduct::Answers)));
            start.join().unwrap()
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl NamedService for Method {
    const NAME: &'static str = "x.v1.X";
}

impl Service<Request<Body>> for Method {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn future::Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move {
            method.calls.fetch_add(1, Ordering::SeqCst);
            let connection = request.extensions().get::<TcpConnectInfo>();
            let peer = connection.and_then(TcpConnectInfo::remote_addr);
            method.peers.lock().unwrap().extend(peer);
            let answer = service_fn(async |_: tonic::Request<()>| match method.conduct {
                Conduct::Answers => Ok(tonic::Response::new(())),
                Conduct::AnswersAfter(delay) => {
                    sleep(delay).await;
                    Ok(tonic::Response::new(()))
                }
                Conduct::Hangs => future::pending().await,
                Conduct::IsUnavailable => Err(Status::unavailable("not now")),
                Conduct::IsUnavailableForGood => {
                    let status = Status::unavailable("another service does not answer");
                    Err(crate::status::do_not_retry(status))
                }
            });
            let codec = ProstCodec::<(), ()>::default();
            Ok(tonic::server::Grpc::new(codec).unary(answer, request).await)
        })
    }
}

fn list(servers: &[&Server]) -> Addresses {
    let addresses: Vec<_> = servers.iter().map(|it| it.address.to_string()).collect();
    addresses.join(",").parse().unwrap()
}

fn channel(servers: &[&Server]) -> Channel {
    Channel::new(&list(servers), METHODS)
}

async fn send(channel: &Channel, request: tonic::Request<()>) -> Result<(), Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/x.v1.X/Do");
    let codec = ProstCodec::<(), ()>::default();
    client.unary(request, path, codec).await.map(drop)
}

/// A call that may be repeated. Returns the number of its attempts too.
async fn retried(channel: &Channel) -> (Result<(), Status>, usize) {
    retried_within(DEADLINE, channel).await
}

async fn retried_within(deadline: Duration, channel: &Channel) -> (Result<(), Status>, usize) {
    let mut attempts = 0;
    let outcome = channel.retry(deadline, |attempt| {
        attempts += 1;
        send(channel, attempt.request(()))
    });
    (outcome.await, attempts)
}

async fn once(channel: &Channel) -> Result<(), Status> {
    let outcome = channel.once(DEADLINE, |attempt| send(channel, attempt.request(())));
    outcome.await
}

/// Makes calls that must succeed, 8 at a time. Returns how many of them needed a retry.
async fn load(channel: &Channel, calls: usize) -> usize {
    let workers = (0..8).map(async |worker| {
        let mut retries = 0;
        for _ in (worker..calls).step_by(8) {
            let (outcome, attempts) = retried(channel).await;
            outcome.unwrap();
            retries += usize::from(attempts > 1);
        }
        retries
    });
    join_all(workers).await.iter().sum()
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A resolver that asks often, and gets what is in the list.
fn resolver(found: &Arc<Mutex<io::Result<Vec<SocketAddr>>>>) -> Resolver {
    let found = Arc::clone(found);
    let lookup = move |_, _| -> Found {
        let found = match &*found.lock().unwrap() {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        Box::pin(future::ready(found))
    };
    let lookup: Arc<Lookup> = Arc::new(lookup);
    Resolver {
        lookup,
        interval: Duration::from_millis(20),
    }
}

#[tokio::test]
async fn calls_are_spread_evenly() {
    let servers = [
        Server::start(Conduct::Answers).await,
        Server::start(Conduct::Answers).await,
        Server::start(Conduct::Answers).await,
    ];
    let channel = channel(&servers.each_ref());
    assert_eq!(load(&channel, 600).await, 0);
    for server in &servers {
        assert!((130..=270).contains(&server.calls()), "{}", server.calls());
    }
}

#[tokio::test]
async fn a_busy_server_gets_fewer_calls() {
    let busy = Server::start(Conduct::AnswersAfter(Duration::from_millis(200))).await;
    let idle = Server::start(Conduct::Answers).await;
    load(&channel(&[&busy, &idle]), 300).await;
    assert!(busy.calls() * 2 < idle.calls(), "{}", busy.calls());
}

#[tokio::test]
async fn a_call_is_under_way_until_its_answer_is_read() {
    let server = Server::start(Conduct::Answers).await;
    let channel = channel(&[&server]);
    let request = Request::post("/x.v1.X/Do").header("content-type", "application/grpc");
    let request = request.body(Body::new(http_body_util::Full::from(&[0; 5][..])));
    let answer = channel.clone().call(request.unwrap()).await.unwrap();
    assert_eq!(channel.pool.under_way(), [1]);
    drop(answer);
    assert_eq!(channel.pool.under_way(), [0]);
}

#[tokio::test]
async fn a_killed_server_costs_no_call_and_few_retries() {
    let process = Runtime::new().unwrap();
    let killed = Server::start_in(&process);
    let other = Server::start(Conduct::Answers).await;
    let channel = channel(&[&killed, &other]);
    load(&channel, 50).await;
    let kill = async {
        eventually("100 calls", async || killed.calls() + other.calls() > 150).await;
        process.shutdown_background();
    };
    let (retries, ()) = tokio::join!(load(&channel, 500), kill);
    assert!(killed.calls() > 0 && retries < 10, "{retries}");
    // Calls that must not be repeated are not sent to it.
    for _ in 0..50 {
        once(&channel).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_reached_no_server_is_made_elsewhere_even_if_it_must_not_be_repeated() {
    let server = Server::start(Conduct::Answers).await;
    for _ in 0..20 {
        let addresses = format!("127.0.0.1:1,127.0.0.1:2,{}", server.address);
        let channel = Channel::new(&addresses.parse().unwrap(), METHODS);
        once(&channel).await.unwrap();
    }
    assert_eq!(server.calls(), 20);
}

#[tokio::test]
async fn calls_go_round_a_frozen_server_within_their_deadline() {
    // Accepts connections and never answers.
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(Conduct::Answers).await;
    let addresses = format!("{},{}", frozen.local_addr().unwrap(), server.address);
    let channel = Channel::new(&addresses.parse().unwrap(), METHODS);
    let retries = load(&channel, 500).await;
    assert!((1..=8).contains(&retries), "{retries}");
    assert_eq!(server.calls(), 500);
    for _ in 0..50 {
        once(&channel).await.unwrap();
    }
}

#[tokio::test]
async fn a_slow_server_is_not_taken_for_a_frozen_one() {
    let slow = Conduct::AnswersAfter(Duration::from_millis(1200));
    let (one, two) = (Server::start(slow).await, Server::start(slow).await);
    let channel = channel(&[&one, &two]);
    assert_eq!(load(&channel, 16).await, 0);
    assert_eq!(one.calls() + two.calls(), 16);
}

#[tokio::test]
async fn a_server_whose_calls_time_out_sits_out() {
    let hanging = Server::start(Conduct::Hangs).await;
    let server = Server::start(Conduct::Answers).await;
    let channel = channel(&[&hanging, &server]);
    let within = Duration::from_millis(600);
    let started = Instant::now();
    let calls = (0..12).map(async |_| {
        let outcome = channel.once(within, |attempt| send(&channel, attempt.request(())));
        outcome.await.is_err()
    });
    let timed_out = join_all(calls).await.into_iter().filter(|failed| *failed);
    assert!(timed_out.count() >= 3);
    // It sits out for at least 400 ms.
    let before = hanging.calls();
    while started.elapsed() < within + Duration::from_millis(300) {
        once(&channel).await.unwrap();
    }
    assert_eq!(hanging.calls(), before);
    assert!(server.calls() > 12 - before);
}

#[tokio::test]
async fn if_all_servers_sit_out_they_are_called_nevertheless() {
    let address = Server::start(Conduct::Answers).await;
    address.stop.send(()).unwrap();
    address.served.await.unwrap();
    let addresses = format!("{},127.0.0.1:1", address.address);
    let channel = Channel::new(&addresses.parse().unwrap(), METHODS);
    for _ in 0..8 {
        assert_eq!(once(&channel).await.unwrap_err().code(), Code::Unavailable);
    }
    // It is back long before its next health check.
    let _server = Server::start_at(address.address, Conduct::Answers).await;
    once(&channel).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_back_is_called_again_without_a_failed_call() {
    let down = Server::start(Conduct::Answers).await;
    let other = Server::start(Conduct::Answers).await;
    let channel = channel(&[&down, &other]);
    load(&channel, 50).await;
    down.stop.send(()).unwrap();
    down.served.await.unwrap();
    load(&channel, 50).await;
    let back = Server::start_at(down.address, Conduct::Answers).await;
    eventually("it is called", async || {
        assert_eq!(load(&channel, 8).await, 0);
        back.calls() > 0
    })
    .await;
}

#[tokio::test]
async fn a_rolling_restart_under_load_fails_no_call() {
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start(Conduct::Answers).await);
    }
    let channel = channel(&servers.iter().collect::<Vec<_>>());
    let (end, mut ended) = tokio::sync::watch::channel(());
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (channel, ended) = (channel.clone(), ended.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while ended.has_changed().is_ok() {
                    if worker % 2 == 0 {
                        once(&channel).await.unwrap();
                    } else {
                        retried(&channel).await.0.unwrap();
                    }
                    calls += 1;
                    sleep(Duration::from_millis(1)).await;
                }
                calls
            })
        })
        .collect();
    ended.mark_unchanged();
    let mut restarted = Vec::new();
    for server in servers {
        sleep(Duration::from_millis(100)).await;
        let (address, calls) = (server.address, server.calls());
        assert!(calls > 0);
        server.stop.send(()).unwrap();
        server.served.await.unwrap();
        sleep(Duration::from_millis(200)).await;
        restarted.push(Server::start_at(address, Conduct::Answers).await);
    }
    for server in &restarted {
        eventually("all are called again", async || server.calls() > 0).await;
    }
    drop(end);
    let calls = join_all(workers).await.into_iter().map(Result::unwrap);
    assert!(calls.sum::<usize>() > 100);
}

#[tokio::test]
async fn old_connections_are_replaced_without_a_failed_call() {
    let ends = Ends {
        age: Duration::from_millis(50),
        ..Ends::default()
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let server = Server::start_with(any, Conduct::Answers, ends).await;
    let channel = channel(&[&server]);
    let started = Instant::now();
    let workers = (0..8).map(async |_| {
        while started.elapsed() < Duration::from_secs(1) {
            once(&channel).await.unwrap();
        }
    });
    join_all(workers).await;
    let connections = server.peers.lock().unwrap().len();
    assert!((5..=20).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_lame_duck_is_not_ready_and_still_accepts_calls_for_its_time() {
    let ends = Ends {
        lame_duck: Duration::from_millis(500),
        ..Ends::default()
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let server = Server::start_with(any, Conduct::Answers, ends).await;
    let url = format!("http://{}", server.address);
    crate::health::check(&url, Method::NAME).await.unwrap();
    let stopped = Instant::now();
    server.stop.send(()).unwrap();
    for name in ["", Method::NAME] {
        eventually("it is not ready", async || {
            let outcome = crate::health::check(&url, name).await;
            outcome.is_err_and(|error| error.to_string().contains("NOT_SERVING"))
        })
        .await;
    }
    while stopped.elapsed() < Duration::from_millis(400) {
        // Each needs a new connection.
        let channel = Channel::new(&server.address.into(), METHODS);
        once(&channel).await.unwrap();
    }
    server.served.await.unwrap();
    assert!(stopped.elapsed() >= ends.lame_duck);
    assert!(
        tokio::net::TcpStream::connect(server.address)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_retry_goes_to_another_server() {
    let unavailable = Server::start(Conduct::IsUnavailable).await;
    let server = Server::start(Conduct::Answers).await;
    let channel = channel(&[&unavailable, &server]);
    for _ in 0..60 {
        let (outcome, attempts) = retried(&channel).await;
        outcome.unwrap();
        assert!(attempts <= 2, "{attempts}");
    }
    // An answer is no reason to sit out.
    assert!(unavailable.calls() > 10);
    assert_eq!(server.calls(), 60);
}

#[tokio::test]
async fn servers_that_a_resolver_adds_get_their_share_and_those_that_it_drops_get_none() {
    let one = Server::start(Conduct::Answers).await;
    let two = Server::start(Conduct::Answers).await;
    let three = Server::start(Conduct::Answers).await;
    let found = Arc::new(Mutex::new(Ok(vec![one.address, two.address])));
    let addresses = "x.test:1".parse().unwrap();
    let channel = Channel::with(&addresses, METHODS, &resolver(&found));
    load(&channel, 100).await;
    assert_eq!(one.calls() + two.calls(), 100);

    found.lock().unwrap().as_mut().unwrap().push(three.address);
    eventually("it is added", async || channel.pool.under_way().len() == 3).await;
    load(&channel, 600).await;
    assert!((130..=270).contains(&three.calls()), "{}", three.calls());

    // A failed lookup changes nothing, and neither does an empty answer.
    for bad in [Err(io::Error::other("no server")), Ok(Vec::new())] {
        *found.lock().unwrap() = bad;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(channel.pool.under_way().len(), 3);
    }

    *found.lock().unwrap() = Ok(vec![two.address, three.address]);
    eventually("one is gone", async || channel.pool.under_way().len() == 2).await;
    let before = one.calls();
    load(&channel, 100).await;
    assert_eq!(one.calls(), before);
}

#[tokio::test]
async fn only_the_first_lookup_is_waited_for() {
    let server = Server::start(Conduct::Answers).await;
    let address = server.address;
    let lookup = move |_, _| -> Found {
        Box::pin(async move {
            sleep(Duration::from_millis(300)).await;
            Ok(vec![address])
        })
    };
    let resolver = Resolver {
        lookup: Arc::new(lookup),
        interval: Duration::ZERO,
    };
    let addresses = "x.test:1".parse().unwrap();
    let channel = Channel::with(&addresses, METHODS, &resolver);
    let started = Instant::now();
    once(&channel).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(290));
    let started = Instant::now();
    for _ in 0..3 {
        once(&channel).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_millis(290));
}

#[tokio::test]
async fn a_name_without_an_address_is_unavailable_until_it_has_one() {
    let found = Arc::new(Mutex::new(Err(io::Error::other("no such name"))));
    let addresses = "x.test:1".parse().unwrap();
    let channel = Channel::with(&addresses, METHODS, &resolver(&found));
    let status = once(&channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "cannot resolve x.test: no such name");
    let server = Server::start(Conduct::Answers).await;
    *found.lock().unwrap() = Ok(vec![server.address]);
    retried(&channel).await.0.unwrap();
}

/// The code and the number of attempts of a call whose attempts all fail with this status.
async fn attempts(status: Status) -> (Code, usize) {
    let channel = Channel::new(&"127.0.0.1:1".parse().unwrap(), METHODS);
    let count = AtomicUsize::new(0);
    let outcome: Result<(), Status> = channel
        .retry(DEADLINE, |_| {
            count.fetch_add(1, Ordering::Relaxed);
            future::ready(Err(status.clone()))
        })
        .await;
    (outcome.unwrap_err().code(), count.into_inner())
}

#[tokio::test]
async fn only_unavailable_is_repeated() {
    let all = 1 + RETRIES;
    let (unavailable, internal) = (Code::Unavailable, Code::Internal);
    assert_eq!(attempts(Status::unavailable("x")).await, (unavailable, all));
    assert_eq!(attempts(Status::internal("x")).await, (internal, 1));
    let (code, count) = attempts(Status::resource_exhausted("x")).await;
    assert_eq!((code, count), (Code::ResourceExhausted, 1));
}

#[tokio::test]
async fn a_server_decides_whether_and_when_a_call_is_retried() {
    let server = Server::start(Conduct::IsUnavailableForGood).await;
    let (outcome, attempts) = retried(&channel(&[&server])).await;
    assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    assert_eq!((attempts, server.calls()), (1, 1));

    let channel = channel(&[&server]);
    let mut began = Vec::new();
    let outcome: Result<(), Status> = channel
        .retry(DEADLINE, |_| {
            began.push(Instant::now());
            let mut status = Status::unavailable("x");
            let delay = "400".parse().unwrap();
            status
                .metadata_mut()
                .insert("grpc-retry-pushback-ms", delay);
            future::ready(Err(status))
        })
        .await;
    outcome.unwrap_err();
    assert_eq!(began.len(), 1 + RETRIES);
    assert!(began[1] - began[0] >= Duration::from_millis(400));
}

#[tokio::test]
async fn the_budget_bounds_the_retries_of_a_channel() {
    const CALLS: usize = 500;
    let server = Server::start(Conduct::IsUnavailable).await;
    let channel = channel(&[&server]);
    let deadline = Duration::from_secs(20);
    let calls = (0..CALLS).map(|_| retried_within(deadline, &channel));
    for (outcome, _) in join_all(calls).await {
        assert_eq!(outcome.unwrap_err().message(), "not now");
    }
    // 10 retries for each of 10 s, and one for each 5 calls.
    let retries = server.calls() - CALLS;
    assert!((100..=200).contains(&retries), "{retries}");
    // Another channel has its own.
    assert_eq!(retried(&self::channel(&[&server])).await.1, 1 + RETRIES);
}

#[tokio::test]
async fn the_deadline_bounds_all_attempts() {
    let channel = Channel::new(&"127.0.0.1:1".parse().unwrap(), METHODS);
    let started = Instant::now();
    let within = Duration::from_millis(50);
    let retried: Result<(), Status> = channel.retry(within, |_| future::pending()).await;
    assert_eq!(retried.unwrap_err().code(), Code::Unavailable);
    let once: Result<(), Status> = channel.once(within, |_| future::pending()).await;
    assert_eq!(once.unwrap_err().code(), Code::Unavailable);
    assert!(started.elapsed() < DEADLINE);
}

#[tokio::test]
async fn each_attempt_gets_the_remaining_time() {
    let channel = Channel::new(&"127.0.0.1:1".parse().unwrap(), METHODS);
    let mut told = Vec::new();
    let outcome: Result<(), Status> = channel
        .retry(DEADLINE, |attempt| {
            assert!(attempt.request(()).metadata().contains_key("grpc-timeout"));
            told.push(attempt.left());
            future::ready(Err(Status::deadline_exceeded("x")))
        })
        .await;
    assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    assert_eq!(told.len(), 1 + RETRIES);
    assert!(told[0] <= DEADLINE);
    // The shortest delay between two attempts.
    let delay = Duration::from_millis(25);
    assert!(
        told.is_sorted_by(|before, after| *after + delay <= *before),
        "{told:?}"
    );
}

#[tokio::test]
async fn no_attempt_begins_after_the_deadline() {
    let channel = Channel::new(&"127.0.0.1:1".parse().unwrap(), METHODS);
    let mut attempts = 0;
    // The deadline is shorter than the shortest delay.
    let outcome: Result<(), Status> = channel
        .retry(Duration::from_millis(20), |_| {
            attempts += 1;
            future::ready(Err(Status::unavailable("the reason")))
        })
        .await;
    assert_eq!(outcome.unwrap_err().message(), "the reason");
    assert_eq!(attempts, 1);
}

#[tokio::test]
async fn a_call_within_a_call_gets_no_more_time_than_its_caller_waits() {
    let channel = Channel::new(&"127.0.0.1:1".parse().unwrap(), METHODS);
    let seen = Arc::<Mutex<Vec<Duration>>>::default();
    let told = Arc::clone(&seen);
    let handler = service_fn(move |_: Request<Body>| {
        let (channel, told) = (channel.clone(), Arc::clone(&told));
        async move {
            for _ in 0..2 {
                let call = |attempt: Attempt| {
                    told.lock().unwrap().push(attempt.left());
                    future::ready(Err::<(), _>(Status::internal("x")))
                };
                channel.once(DEADLINE, call).await.unwrap_err();
                sleep(Duration::from_millis(100)).await;
            }
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let request = Request::post("/x.v1.X/Do").header("grpc-timeout", "400m");
    let layer = telemetry::grpc::ServerLayer::new(METHODS);
    let mut server = tower::Layer::layer(&layer, handler);
    let served = server.call(request.body(Body::empty()).unwrap());
    served.await.unwrap();
    let seen = seen.lock().unwrap();
    let most = Duration::from_millis(400);
    assert!(seen[0] <= most && seen[0] > most / 2, "{seen:?}");
    assert!(seen[1] + Duration::from_millis(100) <= seen[0], "{seen:?}");
}

#[tokio::test]
async fn a_missing_server_is_unavailable() {
    let channel = Channel::new(&"127.0.0.1:1".parse().unwrap(), METHODS);
    let (outcome, attempts) = retried(&channel).await;
    assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    assert_eq!(attempts, 1 + RETRIES);
    assert_eq!(once(&channel).await.unwrap_err().code(), Code::Unavailable);
}

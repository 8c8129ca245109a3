//! Propagation of trace context and baggage to other services.

use crate::{
    auth::TOKEN,
    harness::{Frontend, Page},
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

#[tokio::test]
async fn only_a_trusted_proxy_passes_context_on() {
    for (proxies, trusted) in [
        ("127.0.0.0/8", true),
        ("127.0.0.1", true),
        ("127.0.0.2", false),
        ("10.0.0.0/8,::1", false),
        ("", false),
    ] {
        let frontend = Frontend::start(&[&format!("--trusted-proxies={proxies}")]).await;
        for flags in ["00", "01"] {
            let parent = format!("{PARENT}-{flags}");
            let sent = [
                ("traceparent", parent.as_str()),
                ("tracestate", "a=b"),
                ("baggage", "userId=1"),
            ];
            let mut request = frontend
                .request(reqwest::Method::GET, "/account")
                .header("cookie", format!("session={TOKEN}"))
                // An untrusted sender stays untrusted, whatever its headers say.
                .header("x-forwarded-for", "127.0.0.1");
            for (name, value) in sent {
                request = request.header(name, value);
            }
            assert_eq!(Page::of(request).await.status, 200);
            for (name, value) in sent {
                let received = frontend.asked.received(name);
                assert_eq!(received.as_deref(), trusted.then_some(value), "{proxies}");
            }
        }
    }
}

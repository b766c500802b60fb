//! Redis: a cache that keeps nothing on disk.

use super::request::Request;
use super::{Place, Service};

/// The server.
pub struct Redis;

impl Service for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn variable(&self) -> &'static str {
        "BONGSU_REDIS_URL"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["redis-server"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["redis-server", "redis-cli"]
    }

    fn port(&self) -> u16 {
        16_379
    }

    fn command(&self, place: &Place) -> Vec<String> {
        let (port, folder) = (place.port.to_string(), place.folder.display().to_string());
        let words = [
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--dir",
            &folder,
            // Another title would hide the folder, by which we know our own.
            "--set-proc-title",
            "no",
            "--daemonize",
            "no",
            "--appendonly",
            "no",
            "--save",
            "",
        ];
        words.map(str::to_owned).into()
    }

    fn ready(&self, place: &Place) -> Request {
        ask(place, "PING", "PONG")
    }

    fn flush(&self, place: &Place) -> Option<Request> {
        Some(ask(place, "FLUSHALL", "OK"))
    }

    fn url(&self, place: &Place) -> String {
        format!("redis://127.0.0.1:{}", place.port)
    }
}

fn ask(place: &Place, question: &str, answer: &'static str) -> Request {
    let port = place.port.to_string();
    let words = ["-h", "127.0.0.1", "-p", &port, question].map(str::to_owned).into();
    let mut request = Request::new("redis-cli", words, &place.folder);
    // The client ends well also when the server refuses.
    request.wanted = vec![answer];
    request
}

#[cfg(test)]
mod tests {
    use super::super::tests::place;
    use super::*;

    #[test]
    fn nothing_is_saved() {
        let command = Redis.command(&place(false));
        let follows = |name: &str| command.iter().skip_while(|word| *word != name).nth(1).map(String::as_str);
        assert_eq!((follows("--save"), follows("--appendonly")), (Some(""), Some("no")));
        assert_eq!((follows("--bind"), follows("--port")), (Some("127.0.0.1"), Some("13306")));
    }

    #[test]
    fn flushing_forgets_all_databases() {
        let request = Redis.flush(&place(false)).expect("it can");
        assert_eq!(request.arguments.last().map(String::as_str), Some("FLUSHALL"));
        assert_eq!(Redis.url(&place(false)), "redis://127.0.0.1:13306");
    }
}

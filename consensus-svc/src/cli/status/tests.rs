use super::*;

fn sample() -> Status {
    GetStatusResponse {
        commit_index: 10,
        commit_digest: vec![0xab; 32].into(),
        earliest_index: 1,
        executed_index: 7,
        executed_digest: vec![0xcd; 32].into(),
        replay_from: 8,
        first_sent: 9,
        sent_total: 3,
        round: 12,
        role: NodeRole::Authority.into(),
        executor_state: ExecutorState::Live.into(),
        chain_id: vec![1; 32].into(),
        ..GetStatusResponse::default()
    }
    .into()
}

/// Other programs read these.
#[test]
fn json_has_the_keys_that_were_promised_in_their_order() {
    let text = json(&sample());
    let promised = [
        "commit_index",
        "commit_digest",
        "earliest_index",
        "executed_index",
        "executed_digest",
        "state_root",
        "replay_from",
        "first_sent",
        "sent_total",
        "duplicates_total",
        "epoch",
        "round",
        "role",
        "executor_state",
        "stop_reason",
    ];
    let places: Vec<_> = promised.map(|key| text.find(&format!("\"{key}\":")).unwrap()).into();
    assert!(places.is_sorted(), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["commit_digest"], "ab".repeat(32));
    assert_eq!(value["role"], "authority");
    assert_eq!(value["replay_from"], 8);
    assert_eq!(value["first_sent"], 9);
    assert_eq!(value["state_root"], "");
    assert_eq!(value["disconnected_peers"], serde_json::json!([]));
}

#[test]
fn the_table_shows_what_a_person_looks_for() {
    let text = table(&sample());
    assert!(text.contains("live  3 behind, sent 3 from 8 on, 0 duplicates"), "{text}");
    assert!(!text.contains("stopped") && !text.contains("not connected"), "{text}");
    let alone = Status { disconnected_peers: vec![1, 3], ..sample() };
    assert!(table(&alone).contains("not connected 1, 3\n"), "{}", table(&alone));
    let stalled = Status { stalled_ms: 31_000, ..sample() };
    assert!(
        table(&stalled).contains("stalled       no commit for 31 s, see `explain`\n"),
        "{}",
        table(&stalled)
    );
    let unheard = Status { stall_reason: OWN_ONLY, ..stalled };
    let row = "stalled       nothing of this node committed for 31 s, see `explain`\n";
    assert!(table(&unheard).contains(row), "{}", table(&unheard));
    let amnesiac = Status { start_waits_for: "answers of authorities 2, 3".to_owned(), ..sample() };
    assert!(table(&amnesiac).contains("waits for     answers of authorities 2, 3\n"), "{}", table(&amnesiac));
    let away = Status { certified_index: 8, catching_up: true, ..sample() };
    assert!(table(&away).contains("certified     8  catching up\n"), "{}", table(&away));
    let stopped = Status { stop_reason: "fork at 9".to_owned(), ..sample() };
    assert!(table(&stopped).contains("fork at 9"));
}

#[test]
fn a_node_that_does_not_answer_is_named() {
    // Bound and not accepted from by anything that speaks HTTP/2; closed at once.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let arguments = StatusArguments { endpoint: endpoint.clone(), json: true };
    let mut output = Vec::new();
    let error = show(&arguments, &mut output).unwrap_err();
    assert!(matches!(error, CallError::Call { .. }));
    assert!(error.to_string().contains(&endpoint));
    assert!(output.is_empty());
}

use super::*;
use crate::identity::SecretKey;

fn sample() -> GenesisFile {
    let mut authorities: Vec<_> = (1..=4u8)
        .map(|number| GenesisAuthority {
            stake: u64::from(number),
            protocol_key: hex::encode(SecretKey::new([number; 32]).public_bytes()),
            network_key: hex::encode(SecretKey::new([number + 100; 32]).public_bytes()),
            address: format!("127.0.0.1:{}", 7100 + u16::from(number)),
        })
        .collect();
    authorities.sort_by(|a, b| a.protocol_key.cmp(&b.protocol_key));
    let content = GenesisFile {
        chain_id: String::new(),
        name: "test".to_owned(),
        timestamp_ms: 1_700_000_000_000,
        parameters: GenesisParameters {
            gc_depth: 50,
            schedule_window_rounds: 99,
            root_interval: 7,
            ..GenesisParameters::default()
        },
        authorities,
        accounts: vec![GenesisAccount { public_key: "ab".repeat(32), balance: 5 }],
    };
    generate(content, &mut Problems::default()).unwrap()
}

/// Fields of all mistakes.
fn mistakes(file: &GenesisFile) -> Vec<String> {
    let mut problems = Problems::default();
    assert!(check(file, &mut problems).is_none());
    problems.found().iter().map(|problem| problem.field.clone()).collect()
}

#[test]
fn a_genesis_comes_back_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genesis.toml");
    let file = sample();
    fs::write(&path, toml::to_string(&file).unwrap()).unwrap();
    let read_back = read(&path).unwrap();
    assert_eq!(read_back, file);
    let mut problems = Problems::default();
    let genesis = check(&read_back, &mut problems).unwrap();
    assert!(problems.found().is_empty());
    assert_eq!(to_file(&genesis, file.accounts.clone()), file);
    assert_eq!(genesis.parameters().gc_depth, 50);
    assert_eq!(genesis.parameters().schedule_window_rounds, 99);
    assert_eq!(genesis.parameters().root_interval, 7);
    assert_eq!(genesis.committee().size(), 4);
}

#[test]
fn a_file_that_was_changed_by_hand_is_refused() {
    let changes: [fn(&mut GenesisFile); 7] = [
        |file| file.name.push('x'),
        |file| file.timestamp_ms += 1,
        |file| file.parameters.max_commit_bytes += 1,
        |file| file.parameters.schedule_window_rounds += 1,
        |file| file.parameters.root_interval += 1,
        |file| file.authorities[2].stake += 1,
        |file| file.authorities[1].address = "127.0.0.1:9".to_owned(),
    ];
    for change in changes {
        let mut file = sample();
        change(&mut file);
        assert_eq!(mistakes(&file), ["chain_id"]);
    }
}

#[test]
fn all_mistakes_of_a_file_are_listed() {
    let mut file = sample();
    file.authorities[0].stake = 0;
    file.authorities[1].address = "nowhere".to_owned();
    file.authorities[1].network_key = "12".to_owned();
    file.authorities[3].protocol_key = file.authorities[2].protocol_key.clone();
    file.accounts[0].public_key = "zz".to_owned();
    assert_eq!(
        mistakes(&file),
        [
            "authorities[0].stake",
            "authorities[1].address",
            "authorities[1].network_key",
            "authorities[3].protocol_key",
            "accounts[0].public_key"
        ]
    );
}

#[test]
fn all_parameters_out_of_range_are_listed() {
    let mut file = sample();
    file.name = String::new();
    file.parameters.gc_depth = 9;
    file.parameters.leaders_per_round = 5;
    assert_eq!(
        mistakes(&file),
        ["name", "parameters.leaders_per_round", "parameters.gc_depth", "parameters.heartbeat_rounds"]
    );
}

#[test]
fn a_committee_out_of_order_is_refused() {
    let mut file = sample();
    file.authorities.swap(0, 1);
    assert_eq!(mistakes(&file), ["authorities"]);
}

#[test]
fn a_file_of_another_form_names_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genesis.toml");
    assert!(matches!(read(&path), Err(GenesisFileError::Unreadable { .. })));
    fs::write(&path, "chain_id = 'x'\nnmae = 'y'\n").unwrap();
    let error = read(&path).unwrap_err();
    assert!(error.to_string().contains("nmae"), "{error}");
}

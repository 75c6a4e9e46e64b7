//! Before the first commit.

use metanode_proto::{
    executor::v1::{CommitteeMember, executor_service_server::SERVICE_NAME},
    reason::UNKNOWN_EPOCH,
};
use prost::Message;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    bench::Bench,
    client::{Refusal, describe, within},
    row::{Failure, Outcome, equal, hex},
};

pub(super) async fn handshake(bench: &mut Bench) -> Outcome {
    let position = bench.position().await?;
    if bench.chain.last() > 0 {
        // A life that goes on from row to row is at genesis in the first one only.
        return Ok(());
    }
    equal("block_number", &0, &position.block_number)?;
    equal("epoch", &0, &position.epoch)?;
    equal("commit_digest", &hex(&[0; 32]), &hex(&position.commit_digest))
}

pub(super) async fn committee(bench: &mut Bench) -> Outcome {
    let mut client = bench.client().await?;
    let answer = client.committee(0).await?;
    let answer = answer.map_err(|status| Failure::new("the committee of epoch 0", describe(&status)))?;
    equal("epoch", &0, &answer.epoch)?;
    let show = |members: &[CommitteeMember]| {
        let members = members.iter().map(|one| {
            format!("{} {} {} {}", one.stake, hex(&one.protocol_key), hex(&one.network_key), one.address)
        });
        members.collect::<Vec<_>>().join(", ")
    };
    equal("members", &show(&bench.network.committee), &show(&answer.members))?;
    let unknown = client.committee(1_000_000).await?;
    Refusal::new(Code::NotFound, UNKNOWN_EPOCH).check_call(&unknown)
}

pub(super) async fn health(bench: &mut Bench) -> Outcome {
    let client = bench.client().await?;
    let mut health = HealthClient::new(client.channel);
    for service in ["", SERVICE_NAME] {
        let expected = format!("grpc.health.v1 says SERVING of the service \"{service}\"");
        let call = health.check(HealthCheckRequest { service: service.to_owned() });
        let answer = within(bench.settings.patience, &expected, call).await?;
        let status =
            answer.map_err(|status| Failure::new(&expected, describe(&status)))?.into_inner().status();
        if status != ServingStatus::Serving {
            return Err(Failure::new(expected, status.as_str_name()));
        }
    }
    Ok(())
}

pub(super) async fn reflection(bench: &mut Bench) -> Outcome {
    let expected = format!("grpc.reflection.v1 lists {SERVICE_NAME}, and has its descriptor");
    let client = bench.client().await?;
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(SERVICE_NAME.to_owned())),
    ];
    let mut reflection = ServerReflectionClient::new(client.channel);
    let patience = bench.settings.patience;
    let call = reflection.server_reflection_info(tokio_stream::iter(questions));
    let failed = |status| Failure::new(&expected, describe(&status));
    let mut answers = within(patience, &expected, call).await?.map_err(failed)?.into_inner();
    let mut found = (false, false);
    while let Some(answer) = within(patience, &expected, answers.next()).await? {
        match answer.map_err(failed)?.message_response {
            Some(MessageResponse::ListServicesResponse(list)) => {
                found.0 = list.service.iter().any(|service| service.name == SERVICE_NAME);
            }
            Some(MessageResponse::FileDescriptorResponse(files)) => {
                let is_ours = |bytes: &Vec<u8>| {
                    let file = prost_types::FileDescriptorProto::decode(&bytes[..]);
                    file.is_ok_and(|file| {
                        file.service.iter().any(|service| service.name() == "ExecutorService")
                    })
                };
                found.1 = files.file_descriptor_proto.iter().any(is_ours);
            }
            _ => {}
        }
    }
    match found {
        (true, true) => Ok(()),
        (listed, described) => {
            Err(Failure::new(expected, format!("listed = {listed}, described = {described}")))
        }
    }
}

//! The fakes keep the same contract as the real drivers.

use ratoon::domain::disk::{Layer, LayerRole};
use ratoon::drivers::Call;
use ratoon::drivers::fake::FakeCloud;
use ratoon::ids::{DiskId, DiskSnapshotId, LayerId, OperationId};

use crate::contract;

#[tokio::test]
async fn the_fakes_keep_the_contract() {
    let cloud = FakeCloud::new();
    let server = cloud.add_server("web");
    cloud.owner_attach(server, &cloud.add_volume("data"), &Default::default()).unwrap();
    let facts = cloud.peek(server).unwrap();
    for driver in [cloud.named(), cloud.attached()] {
        let call =
            Call { operation_id: OperationId::new(), step: "test", project_id: facts.project_id.clone(), again: true };
        let found = driver.discover(&facts).await.unwrap().disks.remove(0);
        let disk = Layer {
            id: LayerId::new(),
            server_id: server,
            disk_id: DiskId::new(),
            backend: found.backend,
            pool: found.pool,
            backend_id: found.backend_id,
            key: found.key,
            kind: found.kind,
            role: LayerRole::Head,
            parent: None,
            parent_layer: None,
            equals: None,
            parked_mark: String::new(),
            facts: found.facts,
        };
        contract::holds(driver.as_ref(), &call, &disk, DiskSnapshotId::new(), LayerId::new()).await;
    }
}

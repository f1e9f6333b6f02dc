"""Adds the RDS resources to LocalStack that a template needs for its database.

A cluster is the PostgreSQL server that already listens on the cluster's port of 127.0.0.1, with the master user and the database
that the template names. The password in Secrets Manager and the attributes that a template can read are created. Networks,
snapshots and scaling are not supported.
"""

import json
import secrets

from localstack.services.cloudformation.resource_provider import CloudFormationResourceProviderPlugin


def plugin(resource, attributes, wants):
    """Returns the plug-in for AWS::RDS::<resource>. `attributes` returns GetAtt values; `wants` names required properties."""

    class Plugin(CloudFormationResourceProviderPlugin):
        name = "AWS::RDS::" + resource

        def load(self):
            from localstack.services.cloudformation import provider_utils
            from localstack.services.cloudformation.resource_provider import (
                OperationStatus,
                ProgressEvent,
                ResourceProvider,
            )

            class Provider(ResourceProvider):
                TYPE = Plugin.name
                SCHEMA = {"typeName": TYPE, "primaryIdentifier": ["/properties/Id"]}

                def done(self, request, model):
                    context = request.custom_context
                    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=context)

                def create(self, request):
                    model = request.desired_state
                    missing = [name for name in wants if not model.get(name)]
                    if missing:
                        raise ValueError("%s: %s is missing" % (self.TYPE, ", ".join(missing)))
                    model["Id"] = provider_utils.generate_default_name(request.stack_name, request.logical_resource_id)
                    return self.done(request, model | attributes(request, model))

                def update(self, request):
                    return self.done(request, request.previous_state | request.desired_state)

                def delete(self, request):
                    secret = request.previous_state.get("MasterUserSecret")
                    if secret:
                        manager = request.aws_client_factory.secretsmanager
                        manager.delete_secret(SecretId=secret["SecretArn"], ForceDeleteWithoutRecovery=True)
                    return self.done(request, request.previous_state)

            self.factory = Provider

    return Plugin


def cluster(request, model):
    """Creates the secret of the master user, and returns the attributes of the cluster."""
    if model["ManageMasterUserPassword"] not in (True, "true"):
        raise ValueError("only ManageMasterUserPassword: true is supported")
    credentials = {"username": model["MasterUsername"], "password": secrets.token_urlsafe(24)}
    made = request.aws_client_factory.secretsmanager.create_secret(
        Name="rds-" + model["Id"], SecretString=json.dumps(credentials)
    )
    return {
        "Endpoint": {"Address": "127.0.0.1", "Port": str(model["Port"])},
        "MasterUserSecret": {"SecretArn": made["ARN"]},
    }


def nothing(request, model):
    """Returns no attributes."""
    return {}


CLUSTER = ("Engine", "DatabaseName", "MasterUsername", "Port", "DBSubnetGroupName", "VpcSecurityGroupIds", "StorageEncrypted")
ClusterPlugin = plugin("DBCluster", cluster, CLUSTER)
InstancePlugin = plugin("DBInstance", nothing, ("Engine", "DBClusterIdentifier", "DBInstanceClass"))
SubnetsPlugin = plugin("DBSubnetGroup", nothing, ("SubnetIds",))

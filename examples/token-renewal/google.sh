#!/usr/bin/env bash
# Google Cloud: Cloud Scheduler starts a Cloud Run job every 12 hours. The job requests an IAM token of Huawei Cloud and
# adds it to the secret ddm-token as a version. The function reads the latest version (--token-secret of
# deploy.sh cloud-run).
#
# Usage: PROJECT=my-project REGION=europe-west1 HUAWEICLOUD_REGION=cn-north-4 HUAWEICLOUD_PROJECT_ID=… \
#          HUAWEICLOUD_ACCOUNT=… HUAWEICLOUD_USER=ddm-precheck ./google.sh < password
#
# stdin is the password of the IAM user. The user needs only the policy DDM ReadOnlyAccess. The password goes to Secret
# Manager through a pipe. Run this script once.
# To change the password: gcloud secrets versions add huaweicloud-password --project PROJECT --data-file=- < password
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
for name in PROJECT REGION HUAWEICLOUD_REGION HUAWEICLOUD_PROJECT_ID HUAWEICLOUD_ACCOUNT HUAWEICLOUD_USER; do
    : "${!name:?$name is not set}"
done

runner=ddm-token-renewal@$PROJECT.iam.gserviceaccount.com
scheduler=ddm-token-schedule@$PROJECT.iam.gserviceaccount.com
# gcloud separates the variables with ^@^ instead of commas, because an account name may contain a comma.
variables="^@^HUAWEICLOUD_REGION=$HUAWEICLOUD_REGION@HUAWEICLOUD_PROJECT_ID=$HUAWEICLOUD_PROJECT_ID"
variables+="@HUAWEICLOUD_ACCOUNT=$HUAWEICLOUD_ACCOUNT@HUAWEICLOUD_USER=$HUAWEICLOUD_USER"
variables+="@HUAWEICLOUD_PASSWORD_FILE=/secrets/huaweicloud/password"
variables+="@GOOGLE_SECRET=projects/$PROJECT/secrets/ddm-token"

gcloud services enable cloudscheduler.googleapis.com secretmanager.googleapis.com run.googleapis.com --project "$PROJECT" \
    </dev/null
gcloud secrets create huaweicloud-password --project "$PROJECT" --replication-policy automatic --data-file=-
gcloud secrets create ddm-token --project "$PROJECT" --replication-policy automatic </dev/null

# The job may read the password and add and destroy versions of the token. The job cannot read the token.
gcloud iam service-accounts create ddm-token-renewal --project "$PROJECT"
gcloud secrets add-iam-policy-binding huaweicloud-password --project "$PROJECT" \
    --member "serviceAccount:$runner" --role roles/secretmanager.secretAccessor
gcloud secrets add-iam-policy-binding ddm-token --project "$PROJECT" \
    --member "serviceAccount:$runner" --role roles/secretmanager.secretVersionManager

gcloud run jobs deploy ddm-token-renewal --project "$PROJECT" --region "$REGION" --source "$here" \
    --service-account "$runner" --set-env-vars "$variables" \
    --set-secrets /secrets/huaweicloud/password=huaweicloud-password:latest \
    --max-retries 5 --task-timeout 2m --quiet
# Store the first token.
gcloud run jobs execute ddm-token-renewal --project "$PROJECT" --region "$REGION" --wait

gcloud iam service-accounts create ddm-token-schedule --project "$PROJECT"
gcloud run jobs add-iam-policy-binding ddm-token-renewal --project "$PROJECT" --region "$REGION" \
    --member "serviceAccount:$scheduler" --role roles/run.invoker
gcloud scheduler jobs create http ddm-token-renewal --project "$PROJECT" --location "$REGION" \
    --schedule '0 */12 * * *' --time-zone Etc/UTC --max-retry-attempts 5 --http-method POST \
    --uri "https://run.googleapis.com/v2/projects/$PROJECT/locations/$REGION/jobs/ddm-token-renewal:run" \
    --oauth-service-account-email "$scheduler"

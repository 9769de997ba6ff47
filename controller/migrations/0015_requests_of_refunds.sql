-- Whether a refund was ever sent is asked with each that is shown.
CREATE INDEX operator_requests_by_refund ON operator_requests (refund_id) WHERE refund_id IS NOT NULL;

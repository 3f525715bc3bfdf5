cp "$in" "${FLOW_PFS:-/pfs}/out/"

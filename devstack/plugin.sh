#!/bin/bash
#
# **devstack/plugin.sh** - DevStack sources this with a mode and a phase; what they do is in lib/ratoon

# shellcheck source=lib/ratoon
source "$RATOON_DIR/devstack/lib/ratoon"

# Nova's hosts tell what happens there, whether or not they run Ratoon.
if [[ "$1" == "stack" && "$2" == "post-config" ]]; then
    configure_ratoon_notifications
fi

if is_service_enabled ratoon-api ratoon-engine; then
    if [[ "$1" == "stack" && "$2" == "pre-install" ]]; then
        echo_summary "Installing what Ratoon needs"
        install_ratoon_prerequisites

    elif [[ "$1" == "stack" && "$2" == "install" ]]; then
        echo_summary "Installing Ratoon"
        install_ratoon

    elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        echo_summary "Configuring Ratoon"
        configure_ratoon
        # Once for the cloud, where the API is.
        if is_service_enabled ratoon-api; then
            create_ratoon_accounts
            init_ratoon
        fi

    elif [[ "$1" == "stack" && "$2" == "extra" ]]; then
        echo_summary "Starting Ratoon"
        start_ratoon

    elif [[ "$1" == "stack" && "$2" == "test-config" ]]; then
        echo_summary "Checking Ratoon"
        check_ratoon
    fi

    if [[ "$1" == "unstack" ]]; then
        stop_ratoon
    fi

    if [[ "$1" == "clean" ]]; then
        cleanup_ratoon
    fi
fi

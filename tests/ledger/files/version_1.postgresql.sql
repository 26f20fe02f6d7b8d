CREATE TABLE public.hog_dagster_act_history (
    id bigint NOT NULL,
    act_id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    owner character varying(200) NOT NULL,
    state character varying(20) NOT NULL,
    note text NOT NULL
);
CREATE SEQUENCE public.hog_dagster_act_history_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.hog_dagster_act_history_id_seq OWNED BY public.hog_dagster_act_history.id;
CREATE TABLE public.hog_dagster_acts (
    id bigint NOT NULL,
    project_id bigint NOT NULL,
    kind character varying(40) NOT NULL,
    workflow_id character varying(100) NOT NULL,
    subject character varying(300) NOT NULL,
    state character varying(20) NOT NULL,
    version integer NOT NULL,
    attempts integer NOT NULL,
    owner character varying(200) NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    request json NOT NULL,
    answer json,
    remote_id character varying(200),
    note text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    server_sent_at timestamp with time zone,
    settled_at timestamp with time zone
);
CREATE SEQUENCE public.hog_dagster_acts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.hog_dagster_acts_id_seq OWNED BY public.hog_dagster_acts.id;
CREATE TABLE public.hog_dagster_locks (
    name character varying(200) NOT NULL,
    owner character varying(200) NOT NULL,
    token character varying(40) NOT NULL,
    until timestamp with time zone NOT NULL
);
ALTER TABLE ONLY public.hog_dagster_act_history ALTER COLUMN id SET DEFAULT nextval('public.hog_dagster_act_history_id_seq'::regclass);
ALTER TABLE ONLY public.hog_dagster_acts ALTER COLUMN id SET DEFAULT nextval('public.hog_dagster_acts_id_seq'::regclass);
INSERT INTO public.hog_dagster_act_history VALUES (1, 1, '2026-11-29 23:24:57.542279+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (2, 2, '2026-11-29 23:24:57.548019+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (3, 2, '2026-11-29 23:24:57.550991+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (4, 3, '2026-11-29 23:24:57.554845+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (5, 3, '2026-11-29 23:24:57.557316+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (6, 3, '2026-11-29 23:24:57.55925+00', 'dagster-run-1', 'unknown', 'no answer came');
INSERT INTO public.hog_dagster_act_history VALUES (7, 4, '2026-11-29 23:24:57.562478+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (8, 4, '2026-11-29 23:24:57.564834+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (9, 4, '2026-11-29 23:24:57.566301+00', 'dagster-run-1', 'confirmed', 'job made');
INSERT INTO public.hog_dagster_act_history VALUES (10, 5, '2026-11-29 23:24:57.569274+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (11, 5, '2026-11-29 23:24:57.5717+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (12, 5, '2026-11-29 23:24:57.573521+00', 'dagster-run-1', 'refused', 'InvalidRequest');
INSERT INTO public.hog_dagster_act_history VALUES (13, 6, '2026-11-29 23:24:57.576381+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (14, 6, '2026-11-29 23:24:57.578771+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (15, 6, '2026-11-29 23:24:57.580295+00', 'dagster-run-1', 'intended', '429');
INSERT INTO public.hog_dagster_act_history VALUES (16, 7, '2026-11-29 23:24:57.583091+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (17, 7, '2026-11-29 23:24:57.585393+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (18, 7, '2026-11-29 23:24:57.587038+00', 'dagster-run-1', 'confirmed', 'schedule made');
INSERT INTO public.hog_dagster_act_history VALUES (19, 8, '2026-11-29 23:24:57.589296+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (20, 8, '2026-11-29 23:24:57.591626+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (21, 8, '2026-11-29 23:24:57.593138+00', 'dagster-run-1', 'unknown', 'in doubt: timeout');
INSERT INTO public.hog_dagster_act_history VALUES (22, 9, '2026-11-29 23:24:57.595361+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (23, 9, '2026-11-29 23:24:57.597606+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (24, 9, '2026-11-29 23:24:57.599116+00', 'dagster-run-1', 'confirmed', 'seen to run');
INSERT INTO public.hog_dagster_act_history VALUES (25, 10, '2026-11-29 23:24:57.601911+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (26, 11, '2026-11-29 23:24:57.605098+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (27, 11, '2026-11-29 23:24:57.607592+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (28, 11, '2026-11-29 23:24:57.609125+00', 'dagster-run-1', 'confirmed', 'bulk');
INSERT INTO public.hog_dagster_act_history VALUES (29, 12, '2026-11-29 23:24:57.6116+00', 'dagster-run-1', 'intended', 'claimed');
INSERT INTO public.hog_dagster_act_history VALUES (30, 12, '2026-11-29 23:24:57.614143+00', 'dagster-run-1', 'sent', 'sent');
INSERT INTO public.hog_dagster_act_history VALUES (31, 12, '2026-11-29 23:24:57.615679+00', 'dagster-run-1', 'unknown', 'no answer came');
INSERT INTO public.hog_dagster_act_history VALUES (32, 12, '2026-11-29 23:24:57.617121+00', 'dagster-run-1', 'intended', 'settled by ana: nobody got it');
INSERT INTO public.hog_dagster_acts VALUES (1, 1, 'replay', '01968c1e-77aa-0000-4f0e-2b5d1c9a3e10', 'run-claimed', 'intended', 1, 0, 'dagster-run-1', '2026-11-29 23:39:57.542279+00', '{}', NULL, NULL, 'claimed', '2026-11-29 23:24:57.542279+00', '2026-11-29 23:24:57.542279+00', NULL, NULL, NULL);
INSERT INTO public.hog_dagster_acts VALUES (2, 1, 'replay', '01968c1e-77aa-0000-4f0e-2b5d1c9a3e10', 'run-sent', 'sent', 2, 1, 'dagster-run-1', '2026-11-29 23:39:57.550991+00', '{"host": "https://us.posthog.com"}', 'null', NULL, 'sent', '2026-11-29 23:24:57.548019+00', '2026-11-29 23:24:57.550991+00', '2026-11-29 23:24:57.550991+00', '2026-11-20 09:00:00.25+00', NULL);
INSERT INTO public.hog_dagster_acts VALUES (3, 1, 'replay', '01968c1e-77aa-0000-4f0e-2b5d1c9a3e10', 'run-doubt', 'unknown', 3, 1, 'dagster-run-1', '2026-11-29 23:39:57.557316+00', '{}', 'null', NULL, 'no answer came', '2026-11-29 23:24:57.554845+00', '2026-11-29 23:24:57.55925+00', '2026-11-29 23:24:57.557316+00', '2026-11-20 09:00:00.25+00', NULL);
INSERT INTO public.hog_dagster_acts VALUES (4, 1, 'batch_send', '01968c1e-77aa-0000-4f0e-2b5d1c9a3e10', '2026-11-20T09:00:00Z', 'confirmed', 3, 1, 'dagster-run-1', '2026-11-29 23:39:57.564834+00', '{"audience": 3}', '{"id": "0196aaaa-0000-0000-0000-000000000001", "status": "queued"}', '0196aaaa-0000-0000-0000-000000000001', 'job made', '2026-11-29 23:24:57.562478+00', '2026-11-29 23:24:57.566301+00', '2026-11-29 23:24:57.564834+00', '2026-11-20 09:00:00.25+00', '2026-11-29 23:24:57.566301+00');
INSERT INTO public.hog_dagster_acts VALUES (5, 1, 'replay', '01968c1e-77aa-0000-4f0e-2b5d1c9a3e10', 'run-refused', 'refused', 3, 1, 'dagster-run-1', '2026-11-29 23:39:57.5717+00', '{}', '{"status": 400, "detail": "Run cannot be replayed."}', NULL, 'InvalidRequest', '2026-11-29 23:24:57.569274+00', '2026-11-29 23:24:57.573521+00', '2026-11-29 23:24:57.5717+00', '2026-11-20 09:00:00.25+00', '2026-11-29 23:24:57.573521+00');
INSERT INTO public.hog_dagster_acts VALUES (6, 1, 'replay', '01968c1e-77aa-0000-4f0e-2b5d1c9a3e10', 'run-released', 'intended', 3, 1, 'dagster-run-1', '2026-11-29 23:24:57.580295+00', '{}', 'null', NULL, '429', '2026-11-29 23:24:57.576381+00', '2026-11-29 23:24:57.580295+00', '2026-11-29 23:24:57.578771+00', '2026-11-20 09:00:00.25+00', NULL);
INSERT INTO public.hog_dagster_acts VALUES (7, 1, 'schedule_create', '01968C1E-77AA-0000-4F0E-2B5D1C9A3E10', 'weekly', 'confirmed', 3, 1, 'dagster-run-1', '2026-11-29 23:39:57.585393+00', '{}', '{"id": 7}', '7', 'schedule made', '2026-11-29 23:24:57.583091+00', '2026-11-29 23:24:57.587038+00', '2026-11-29 23:24:57.585393+00', '2026-11-20 09:00:00.25+00', '2026-11-29 23:24:57.587038+00');
INSERT INTO public.hog_dagster_acts VALUES (8, 1, 'rerun', '01968C1E-77AA-0000-4F0E-2B5D1C9A3E10', '0196BBBB-0000-0000-0000-00000000000A#1', 'unknown', 3, 1, 'dagster-run-1', '2026-11-29 23:39:57.591626+00', '{}', 'null', NULL, 'in doubt: timeout', '2026-11-29 23:24:57.589296+00', '2026-11-29 23:24:57.593138+00', '2026-11-29 23:24:57.591626+00', '2026-11-20 09:00:00.25+00', NULL);
INSERT INTO public.hog_dagster_acts VALUES (9, 1, 'rerun', '01968c1e-77aa-0000-4f0e-2b5d1c9a3e10', '0196bbbb-0000-0000-0000-00000000000a#1', 'confirmed', 3, 1, 'dagster-run-1', '2026-11-29 23:39:57.597606+00', '{}', 'null', NULL, 'seen to run', '2026-11-29 23:24:57.595361+00', '2026-11-29 23:24:57.599116+00', '2026-11-29 23:24:57.597606+00', '2026-11-20 09:00:00.25+00', '2026-11-29 23:24:57.599116+00');
INSERT INTO public.hog_dagster_acts VALUES (10, 1, 'rerun', '01968c1e77aa00004f0e2b5d1c9a3e10', '0196bbbb-0000-0000-0000-00000000000a#1', 'intended', 1, 0, 'dagster-run-1', '2026-11-29 23:39:57.601911+00', '{}', NULL, NULL, 'claimed', '2026-11-29 23:24:57.601911+00', '2026-11-29 23:24:57.601911+00', NULL, NULL, NULL);
INSERT INTO public.hog_dagster_acts VALUES (11, 1, 'replay_all', '01968c1e-77aa-0000-4f0e-2b5d1c9a3e10', 'dagster-run-1@17', 'confirmed', 3, 1, 'dagster-run-1', '2026-11-29 23:39:57.607592+00', '{}', '{"succeeded": 2, "failed": 0, "skipped": 0}', NULL, 'bulk', '2026-11-29 23:24:57.605098+00', '2026-11-29 23:24:57.609125+00', '2026-11-29 23:24:57.607592+00', '2026-11-20 09:00:00.25+00', '2026-11-29 23:24:57.609125+00');
INSERT INTO public.hog_dagster_acts VALUES (12, 1, 'batch_send', '{01968C1E-77AA-0000-4F0E-2B5D1C9A3E10}', 'summer', 'intended', 4, 1, 'dagster-run-1', '2026-11-29 23:24:57.617121+00', '{}', 'null', NULL, 'settled by ana: nobody got it', '2026-11-29 23:24:57.6116+00', '2026-11-29 23:24:57.617121+00', '2026-11-29 23:24:57.614143+00', '2026-11-20 09:00:00.25+00', NULL);
INSERT INTO public.hog_dagster_locks VALUES ('workflow:1:01968c1e-77aa-0000-4f0e-2b5d1c9a3e10', 'dagster-run-1', '4e9a6a0074b34006a815d835e9d3d450', '2126-11-05 23:24:57.621496+00');
SELECT pg_catalog.setval('public.hog_dagster_act_history_id_seq', 32, true);
SELECT pg_catalog.setval('public.hog_dagster_acts_id_seq', 12, true);
ALTER TABLE ONLY public.hog_dagster_act_history
    ADD CONSTRAINT hog_dagster_act_history_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hog_dagster_acts
    ADD CONSTRAINT hog_dagster_acts_natural_key UNIQUE (project_id, kind, workflow_id, subject);
ALTER TABLE ONLY public.hog_dagster_acts
    ADD CONSTRAINT hog_dagster_acts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hog_dagster_locks
    ADD CONSTRAINT hog_dagster_locks_pkey PRIMARY KEY (name);
CREATE INDEX hog_dagster_acts_by_state ON public.hog_dagster_acts USING btree (state, kind);
CREATE INDEX ix_hog_dagster_act_history_act_id ON public.hog_dagster_act_history USING btree (act_id);

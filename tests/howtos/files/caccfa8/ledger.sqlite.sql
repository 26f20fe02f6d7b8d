BEGIN TRANSACTION;
CREATE TABLE hog_dagster_act_history (
	id INTEGER NOT NULL, 
	act_id BIGINT NOT NULL, 
	at DATETIME NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	note TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hog_dagster_act_history" VALUES(177,45,'2026-11-30 06:56:43.953219','2590ddee-1875-4378-acfe-4545ab627e51','intended','claimed');
INSERT INTO "hog_dagster_act_history" VALUES(178,46,'2026-11-30 06:56:43.953219','2590ddee-1875-4378-acfe-4545ab627e51','intended','claimed');
INSERT INTO "hog_dagster_act_history" VALUES(179,47,'2026-11-30 06:56:43.953219','2590ddee-1875-4378-acfe-4545ab627e51','intended','claimed');
INSERT INTO "hog_dagster_act_history" VALUES(180,45,'2026-11-30 06:56:43.958666','2590ddee-1875-4378-acfe-4545ab627e51','sent','sent');
INSERT INTO "hog_dagster_act_history" VALUES(181,46,'2026-11-30 06:56:43.958666','2590ddee-1875-4378-acfe-4545ab627e51','sent','sent');
INSERT INTO "hog_dagster_act_history" VALUES(182,47,'2026-11-30 06:56:43.958666','2590ddee-1875-4378-acfe-4545ab627e51','sent','sent');
INSERT INTO "hog_dagster_act_history" VALUES(183,45,'2026-11-30 06:56:43.964191','2590ddee-1875-4378-acfe-4545ab627e51','unknown','in doubt: PostHog queued rerun job 01a22b3d-dbbb-79ad-bd89-5042ca2b5b93; not yet seen to run');
INSERT INTO "hog_dagster_act_history" VALUES(184,46,'2026-11-30 06:56:43.964191','2590ddee-1875-4378-acfe-4545ab627e51','unknown','in doubt: PostHog queued rerun job 01a22b3d-dbbb-79ad-bd89-5042ca2b5b93; not yet seen to run');
INSERT INTO "hog_dagster_act_history" VALUES(185,47,'2026-11-30 06:56:43.964191','2590ddee-1875-4378-acfe-4545ab627e51','unknown','in doubt: PostHog queued rerun job 01a22b3d-dbbb-79ad-bd89-5042ca2b5b93; not yet seen to run');
INSERT INTO "hog_dagster_act_history" VALUES(186,45,'2026-11-30 06:56:47.485289','2590ddee-1875-4378-acfe-4545ab627e51','confirmed','read back: attempts is 2, it is marked as a retry, its status is running');
INSERT INTO "hog_dagster_act_history" VALUES(187,46,'2026-11-30 06:56:47.490701','2590ddee-1875-4378-acfe-4545ab627e51','confirmed','read back: attempts is 2, it is marked as a retry, its status is running');
INSERT INTO "hog_dagster_act_history" VALUES(188,47,'2026-11-30 06:56:47.493879','2590ddee-1875-4378-acfe-4545ab627e51','confirmed','read back: attempts is 2, it is marked as a retry, its status is running');
INSERT INTO "hog_dagster_act_history" VALUES(189,48,'2026-11-30 06:56:47.837737','1ce1e8aa-9ca4-45e9-b905-109caa8f985d','intended','claimed');
INSERT INTO "hog_dagster_act_history" VALUES(190,48,'2026-11-30 06:56:47.842034','1ce1e8aa-9ca4-45e9-b905-109caa8f985d','sent','sent');
INSERT INTO "hog_dagster_act_history" VALUES(191,48,'2026-11-30 06:56:47.852508','1ce1e8aa-9ca4-45e9-b905-109caa8f985d','confirmed','batch job 01a22b3d-eae8-0000-1e3b-49bf47b87a31 is queued');
CREATE TABLE hog_dagster_acts (
	id INTEGER NOT NULL, 
	project_id BIGINT NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	workflow_id VARCHAR(100) NOT NULL, 
	subject VARCHAR(300) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	version INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	lease_until DATETIME NOT NULL, 
	request JSON NOT NULL, 
	answer JSON, 
	remote_id VARCHAR(200), 
	note TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	sent_at DATETIME, 
	server_sent_at DATETIME, 
	settled_at DATETIME, 
	PRIMARY KEY (id), 
	CONSTRAINT hog_dagster_acts_natural_key UNIQUE (project_id, kind, workflow_id, subject)
);
INSERT INTO "hog_dagster_acts" VALUES(45,1,'rerun','019e2545-a208-0000-6776-464be0322ab5','01a207a2-3280-7dbb-81c7-78be7a8c306c','confirmed',4,1,'2590ddee-1875-4378-acfe-4545ab627e51','2026-11-30 07:11:43.958666','{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-23T09:00:00+00:00"}','{"rerun_job_id": "01a22b3d-dbbb-79ad-bd89-5042ca2b5b93"}','01a22b3d-dbbb-79ad-bd89-5042ca2b5b93','read back: attempts is 2, it is marked as a retry, its status is running','2026-11-30 06:56:43.953219','2026-11-30 06:56:47.485289','2026-11-30 06:56:43.958666','2026-11-30 06:56:43.017686','2026-11-30 06:56:47.485289');
INSERT INTO "hog_dagster_acts" VALUES(46,1,'rerun','019e2545-a208-0000-6776-464be0322ab5','01a207a2-3280-7e0e-98f4-15bbdd7d5f70','confirmed',4,1,'2590ddee-1875-4378-acfe-4545ab627e51','2026-11-30 07:11:43.958666','{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-23T09:00:00+00:00"}','{"rerun_job_id": "01a22b3d-dbbb-79ad-bd89-5042ca2b5b93"}','01a22b3d-dbbb-79ad-bd89-5042ca2b5b93','read back: attempts is 2, it is marked as a retry, its status is running','2026-11-30 06:56:43.953219','2026-11-30 06:56:47.490701','2026-11-30 06:56:43.958666','2026-11-30 06:56:43.017686','2026-11-30 06:56:47.490701');
INSERT INTO "hog_dagster_acts" VALUES(47,1,'rerun','019e2545-a208-0000-6776-464be0322ab5','01a207a2-3280-734d-94de-2b2f97f8cb2f','confirmed',4,1,'2590ddee-1875-4378-acfe-4545ab627e51','2026-11-30 07:11:43.958666','{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-23T09:00:00+00:00"}','{"rerun_job_id": "01a22b3d-dbbb-79ad-bd89-5042ca2b5b93"}','01a22b3d-dbbb-79ad-bd89-5042ca2b5b93','read back: attempts is 2, it is marked as a retry, its status is running','2026-11-30 06:56:43.953219','2026-11-30 06:56:47.493879','2026-11-30 06:56:43.958666','2026-11-30 06:56:43.017686','2026-11-30 06:56:47.493879');
INSERT INTO "hog_dagster_acts" VALUES(48,1,'batch_send','019e2545-a208-0000-25ae-3d6258ca0dd3','2026-11-30T06:00:00Z','confirmed',3,1,'1ce1e8aa-9ca4-45e9-b905-109caa8f985d','2026-11-30 07:11:47.842034','{"host": "http://127.0.0.1:38649", "variables": "44136fa355b3678a1146ad16f7e8649e", "variable_names": [], "audience": 131, "newest_before": "2026-10-31T10:00:00+00:00"}','{"id": "01a22b3d-eae8-0000-1e3b-49bf47b87a31", "status": "queued"}','01a22b3d-eae8-0000-1e3b-49bf47b87a31','batch job 01a22b3d-eae8-0000-1e3b-49bf47b87a31 is queued','2026-11-30 06:56:47.837737','2026-11-30 06:56:47.852508','2026-11-30 06:56:47.842034','2026-11-30 06:56:47.019433','2026-11-30 06:56:47.852508');
CREATE TABLE hog_dagster_locks (
	name VARCHAR(200) NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	token VARCHAR(40) NOT NULL, 
	until DATETIME NOT NULL, 
	PRIMARY KEY (name)
);
CREATE INDEX hog_dagster_acts_by_state ON hog_dagster_acts (state, kind);
CREATE INDEX ix_hog_dagster_act_history_act_id ON hog_dagster_act_history (act_id);
COMMIT;
